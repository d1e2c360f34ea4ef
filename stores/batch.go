package stores

// batch is one call of Append.
type batch struct {
	s         *Store
	appends   []Append
	results   []Result
	done      []bool   // items that have their final result
	documents [][]byte // event_data as JSON, by item, made on demand

	heads    map[aggregate]uint64      // committed versions of the batch's aggregates
	fresh    map[aggregate]bool        // heads that this batch read from the database
	versions map[versionKey]bool       // looked-up versions: true if an event has it
	matches  map[*Condition]firstMatch // looked-up conditions
	known    map[eventKey]*stored      // looked-up events: nil if the database does not hold it

	appenders map[*Appender]uint64 // IDs; nil if none is to be recorded
}

func (s *Store) newBatch(messages []Append) *batch {
	return &batch{
		s:         s,
		appends:   messages,
		results:   make([]Result, len(messages)),
		done:      make([]bool, len(messages)),
		documents: make([][]byte, len(messages)),
		heads:     map[aggregate]uint64{},
		fresh:     map[aggregate]bool{},
		versions:  map[versionKey]bool{},
		known:     map[eventKey]*stored{},
		matches:   map[*Condition]firstMatch{},
	}
}

func (b *batch) dropHeads(items []int) {
	drop := func(_ *Channel, key aggregate) {
		delete(b.heads, key)
		b.s.heads.drop(key)
	}
	for _, item := range items {
		if a := &b.appends[item]; a.Event != nil && a.Channel != nil {
			drop(a.Channel, a.aggregate())
		}
	}
	b.eachExpectation(items, drop)
}

// advance applies committed rows to memory.
func (b *batch) advance(p *plan) {
	for _, adv := range p.advances {
		adv.committed()
	}
	b.s.setOrder(p.end)
	if recent := b.s.recent; recent != nil && recent.next() == p.before.position+1 {
		for _, r := range p.rows {
			if r.event != nil {
				recent.add(r.channel.name, r.event)
			}
		}
		b.s.recentFrom.Store(recent.from)
	}
	for key, version := range p.heads {
		b.heads[key] = version
		b.s.heads.put(key, version)
	}
	for at := range p.versions {
		b.versions[at] = true
	}
	for id, r := range p.ids {
		b.known[id] = &stored{sequence: r.sequence, version: r.version, position: r.position, payload: r.payload}
	}
}

// record sets the results of a committed plan.
func (b *batch) record(p *plan) {
	for _, r := range p.rows {
		m := Message{Sequence: r.sequence, Timestamp: r.timestamp, Data: r.data, Version: r.version, Position: r.position}
		if r.copied { // the row of its item came before, so its result exists
			b.results[r.item].Copies = append(b.results[r.item].Copies, m)
		} else {
			b.finish(r.item, Result{Sequence: r.sequence, Position: r.position, Version: r.carried(), Message: m})
		}
	}
	for _, d := range p.duplicates {
		b.finish(d.item, Result{Sequence: d.of.sequence, Position: d.of.position, Version: d.of.carried(), Duplicate: true})
	}
	for _, d := range p.decided {
		b.finish(d.item, d.result)
	}
}

func (b *batch) finish(item int, result Result) {
	b.results[item] = result
	b.done[item] = true
}
