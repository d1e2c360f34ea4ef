package consumers

import (
	"maps"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// changed records what has to be written. The write stores the state at that moment.
type changed struct {
	row       bool                // last sequence or members
	parts     map[uint64]struct{} // of unacknowledged messages
	subs      map[uint64]struct{} // IDs of subscriptions
	converted map[uint64]struct{} // IDs of subscriptions with rows of earlier releases
	last      uint64              // the part that was added last
	tries     map[uint64]struct{} // parts of messages that were sent again, or no more
	// parks are messages to park, and nil for those that are parked no more, by sequence.
	parks map[uint64]*stores.ParkedMessage
	audit []stores.AuditEntry
	// dropName is the ID of the named consumer of which nothing is left; 0: none
	dropName uint64
}

func (c *changed) any() bool {
	return c.row || len(c.parts)+len(c.subs)+len(c.converted)+len(c.tries)+len(c.parks)+len(c.audit) > 0 || c.dropName > 0
}

func (c *changed) part(seq uint64) {
	part := seq / stores.PartSize
	if len(c.parts) > 0 && part == c.last {
		return
	}
	if c.parts == nil {
		c.parts = make(map[uint64]struct{})
	}
	c.parts[part], c.last = struct{}{}, part
}

func (c *changed) sub(id uint64) {
	if c.subs == nil {
		c.subs = make(map[uint64]struct{})
	}
	c.subs[id], c.row = struct{}{}, true
}

func (c *changed) try(seq uint64) {
	if c.tries == nil {
		c.tries = make(map[uint64]struct{})
	}
	c.tries[seq/stores.PartSize] = struct{}{}
}

func (c *changed) park(p stores.ParkedMessage) { c.setParked(p.Seq, &p) }

func (c *changed) unpark(seq uint64) { c.setParked(seq, nil) }

func (c *changed) setParked(seq uint64, p *stores.ParkedMessage) {
	if c.parks == nil {
		c.parks = make(map[uint64]*stores.ParkedMessage)
	}
	c.parks[seq] = p
}

// putBack puts back changes whose write failed.
func (c *changed) putBack(other changed) {
	c.row = c.row || other.row
	for to, from := range map[*map[uint64]struct{}]map[uint64]struct{}{
		&c.parts: other.parts, &c.subs: other.subs, &c.converted: other.converted, &c.tries: other.tries,
	} {
		if *to == nil {
			*to = from
			continue
		}
		maps.Copy(*to, from)
	}
	if len(other.parts) > 0 {
		c.last = other.last
	}
	for seq, p := range other.parks {
		if _, newer := c.parks[seq]; !newer && c.dropName == 0 {
			c.setParked(seq, p)
		}
	}
	c.dropName = max(c.dropName, other.dropName)
	c.audit = append(slices.Clip(other.audit), c.audit...)
}

// takeChanges returns the changes to write and marks them as written. After a failed write, call changed.putBack.
func (s *state) takeChanges(ch *stores.Channel) (stores.ConsumerChanges, changed) {
	taken := s.changed
	s.changed = changed{}
	var to stores.ConsumerChanges
	members := map[uint64]*Member{}
	if !s.ended {
		for _, m := range s.all() {
			members[m.state.ID] = m
		}
	}
	for id := range taken.subs {
		if m := members[id]; m != nil {
			row := *m.state
			to.Put = append(to.Put, stores.SubscriptionRow{Channel: ch, State: &row})
		} else {
			to.Delete = append(to.Delete, stores.SubscriptionKey{Channel: ch, ID: id})
		}
	}
	for id := range taken.converted {
		to.Converted = append(to.Converted, id)
	}
	s.takeParked(taken, &to)
	if s.ended {
		to.Drop = append(to.Drop, s.id)
		return to, taken
	}
	p := stores.Position{Channel: ch, Consumer: s.id}
	if taken.row {
		s.stored = s.lastSent
		p.Row = &stores.PositionRow{LastSent: s.lastSent, Members: slices.Sorted(maps.Keys(members))}
	}
	if len(taken.parts) > 0 {
		p.Parts = s.parts(taken.parts)
	}
	if len(taken.tries) > 0 {
		p.Redelivered = s.redeliveredParts(taken.tries)
	}
	if p.Row != nil || p.Parts != nil || p.Redelivered != nil {
		to.Positions = append(to.Positions, p)
	}
	return to, taken
}

// takePattern adds to changes the pattern of a group with new subscriptions, or removes that of a group that ended. Channels have none.
func (s *state) takePattern(pattern string, to *stores.ConsumerChanges) {
	switch {
	case pattern == "":
	case s.ended:
		to.DropWildcards = append(to.DropWildcards, s.id)
	case len(to.Put) > 0:
		to.Wildcards = append(to.Wildcards, stores.Wildcard{Consumer: s.id, Pattern: pattern})
	}
}

// takeParked adds to changes what was parked, replayed and done by administrators.
func (s *state) takeParked(taken changed, to *stores.ConsumerChanges) {
	to.Audit = append(to.Audit, taken.audit...)
	if taken.dropName > 0 {
		to.DropNamed = append(to.DropNamed, taken.dropName)
	}
	if len(taken.parks) == 0 {
		return
	}
	row := s.name.row()
	to.Named = append(to.Named, row)
	for _, seq := range slices.Sorted(maps.Keys(taken.parks)) {
		if p := taken.parks[seq]; p != nil {
			p.Consumer = row.ID
			to.Park = append(to.Park, *p)
		} else {
			to.Unpark = append(to.Unpark, stores.ParkedKey{Consumer: row.ID, Seq: seq})
		}
	}
}

// parts returns the unacknowledged messages of parts.
func (s *state) parts(of map[uint64]struct{}) map[uint64][]stores.Run {
	parts := stores.Parts(s.unackedIn(of), func(seq uint64) uint64 { return s.unacked.holder(seq).id() })
	for part := range of {
		if _, ok := parts[part]; !ok {
			parts[part] = nil
		}
	}
	return parts
}

// redeliveredParts returns how often the unacknowledged messages of parts were sent again.
func (s *state) redeliveredParts(of map[uint64]struct{}) map[uint64][]stores.RedeliveredRun {
	parts := make(map[uint64][]stores.RedeliveredRun, len(of))
	for part := range of {
		parts[part] = nil
	}
	seqs := s.unackedIn(of)
	for len(seqs) > 0 {
		part, n := seqs[0]/stores.PartSize, 0
		for n < len(seqs) && seqs[n]/stores.PartSize == part {
			n++
		}
		parts[part] = s.redelivered(seqs[:n])
		seqs = seqs[n:]
	}
	return parts
}

// unackedIn returns the unacknowledged messages of parts, ascending. It visits either each sequence of the parts or all
// unacknowledged messages, whichever is fewer.
func (s *state) unackedIn(of map[uint64]struct{}) (seqs []uint64) {
	if s.unacked.len() < len(of)*stores.PartSize/4 {
		for seq := range s.unacked.held {
			if _, ok := of[seq/stores.PartSize]; ok {
				seqs = append(seqs, seq)
			}
		}
		slices.Sort(seqs)
		return seqs
	}
	for _, part := range slices.Sorted(maps.Keys(of)) {
		for seq := part * stores.PartSize; seq < (part+1)*stores.PartSize; seq++ {
			if s.unacked.holder(seq) != nil {
				seqs = append(seqs, seq)
			}
		}
	}
	return seqs
}
