package stores

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

// row is a message with its planned place.
type row struct {
	item      int // index in the batch of Append
	channel   *Channel
	sequence  uint64
	timestamp int64
	position  uint64       // of an event; 0 otherwise
	payload   []byte       // as published, plus the version that the store appended
	data      []byte       // encoded pb.MsgProto
	event     *proto.Event // nil if the message is not an event
	version   uint64       // of the event, chosen by the publisher or the store
	before    uint64       // highest version of its aggregate before this event
	document  []byte       // event_data as JSON
	copied    bool         // a copy of the item
	erased    uint64       // the erasure that replaced it; only in copies of other databases
	appender  uint64       // ID of who appended it; 0 if that is not recorded

	link chain.Link // in the chain, of an event
}

// carried returns the version that readers see: that of the payload, otherwise that of the column.
func (r *row) carried() uint64 {
	if r.event != nil && r.event.Version != 0 {
		return r.event.Version // not the column's, if versions are off
	}
	return r.version
}

// stored is an event that the database holds.
type stored struct {
	sequence uint64
	version  uint64 // the column event_version
	position uint64
	payload  []byte // as published, perhaps plus a version that the store appended
	erased   uint64 // the erasure that replaced the payload, 0 without one
}

// plan is a possible transaction: the rows for some items of a batch, and the items without rows.
type plan struct {
	rows       []*row
	advances   []*advance // one for each channel with rows
	decided    []decided
	duplicates []duplicate // of rows of this plan

	before, end  order // the end of the order before and after the plan
	byChannel    map[*Channel]*advance
	heads        map[aggregate]uint64 // as of the end of the plan
	versions     map[versionKey]bool  // versions that rows use, if versions must only be unique
	ids          map[eventKey]*row
	planned      *recent // events of rows[:plannedRows], if conditions ask for them
	plannedRows  int
	aheadOfClock *row // a row that took the time of the message before it because the clock is far behind
}

// decided is an item whose result does not depend on the transaction.
type decided struct {
	item   int
	result Result
}

// duplicate is an item that repeats the event of a row.
type duplicate struct {
	item int
	of   *row
}

// plan assigns places to items, in order, on top of the committed state.
func (b *batch) plan(ctx context.Context, items []int) (*plan, error) {
	if err := b.fillHeads(ctx, items); err != nil {
		return nil, err
	}
	for {
		p, ask, err := b.simulate(items)
		if err != nil {
			return p, err
		}
		if ask.none() {
			b.s.chain(p.rows, &p.end)
			return p, nil
		}
		if err := b.answer(ctx, ask); err != nil {
			return nil, err
		}
	}
}

// simulate plans with what is known. It also returns what to look up before the plan is final.
func (b *batch) simulate(items []int) (*plan, *questions, error) {
	p := &plan{
		rows:      make([]*row, 0, len(items)),
		before:    b.s.order(),
		byChannel: map[*Channel]*advance{},
		heads:     map[aggregate]uint64{},
		versions:  map[versionKey]bool{},
		ids:       map[eventKey]*row{},
	}
	p.end = p.before
	ask := &questions{}
	now := time.Now().UnixNano()
	for len(items) > 0 {
		n := b.unitLength(items)
		var err error
		if b.appends[items[0]].Group != nil {
			err = p.group(b, items[:n], ask, now)
		} else {
			err = p.single(b, items[0], ask, now)
		}
		if err != nil {
			return nil, nil, err
		}
		items = items[n:]
	}
	if p.aheadOfClock != nil {
		b.s.warnOfClock(p.aheadOfClock, now)
	}
	return p, ask, nil
}

// single plans an item that belongs to no group, or refuses it.
func (p *plan) single(b *batch, item int, ask *questions, now int64) error {
	if refused := p.openChannels(b.s, &b.appends[item]); refused != nil {
		p.refuse(item, refused)
		return nil
	}
	if p.resolveDuplicate(b, item) {
		return nil
	}
	refused, err := p.put(b, item, ask, now)
	if refused != nil {
		p.refuse(item, refused)
	}
	return err
}

// put plans an item and its copies, unless it returns refused. err is a failure of the whole plan.
func (p *plan) put(b *batch, item int, ask *questions, now int64) (refused, err error) {
	a := &b.appends[item]
	if refused := p.checkRoom(a); refused != nil {
		return refused, nil
	}
	r := &row{item: item, channel: a.Channel, payload: a.Payload, event: a.Event}
	if a.By != nil {
		r.appender = b.appenders[a.By]
	}
	if a.Event != nil {
		key := a.eventKey()
		if a.Event.ID != "" && p.ids[key] != nil {
			return duplicateError(key), nil // twice in one group
		}
		if r.version, refused = p.version(b, a, ask); refused != nil {
			return refused, nil
		}
		r.before = p.claimVersion(b, a, r.version)
		if a.Event.Version == 0 {
			r.payload, r.event = a.Mapping.Assign(r.payload, a.Event, r.version)
		}
		if r.event != a.Event {
			r.document = r.event.Document(b.s.dialect.jsonDepth()) // with the version, which another plan may change
		} else {
			if b.documents[item] == nil {
				b.documents[item] = a.Event.Document(b.s.dialect.jsonDepth())
			}
			r.document = b.documents[item]
		}
		if a.Event.ID != "" {
			p.ids[key] = r
		}
	}
	if err := p.place(r, a.Reply, now); err != nil {
		return nil, err
	}
	for _, c := range a.Copies {
		copied := &row{item: item, channel: c.Channel, payload: r.payload, copied: true, appender: r.appender}
		if c.Kind == CopyData {
			copied.payload = r.event.Data
		}
		if err := p.place(copied, "", now); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// checkRoom refuses a message if its channel, or that of a copy, has used the highest possible sequence. Only a foreign
// write gets there.
func (p *plan) checkRoom(a *Append) error {
	channels := []*Channel{a.Channel}
	for _, c := range a.Copies {
		channels = append(channels, c.Channel)
	}
	for _, c := range channels {
		if p.byChannel[c].last >= maxSequence {
			return fmt.Errorf("%w: channel %q has no higher sequence", ErrRefused, c.name)
		}
	}
	return nil
}

// place assigns the next sequence of its channel to a row.
func (p *plan) place(r *row, reply string, now int64) error {
	adv := p.byChannel[r.channel]
	r.sequence = adv.last + 1
	r.timestamp = max(now, adv.time) // if the clock goes back, timestamps do not
	if r.event != nil {
		r.timestamp = max(r.timestamp, p.end.time)
		r.position = p.end.position + 1
		p.end.position, p.end.time, p.end.given = r.position, r.timestamp, r.position
	}
	if r.timestamp-now > int64(clockTolerance) && p.aheadOfClock == nil {
		p.aheadOfClock = r
	}
	var err error
	r.data, err = (&pb.MsgProto{
		Sequence: r.sequence, Subject: r.channel.name, Reply: reply, Data: r.payload, Timestamp: r.timestamp,
	}).Marshal()
	if err != nil {
		return fmt.Errorf("encode message %d of channel %q: %w", r.sequence, r.channel.name, err)
	}
	if adv.add(r); adv.msgs == 1 {
		p.advances = append(p.advances, adv)
	}
	p.rows = append(p.rows, r)
	return nil
}

// openChannels opens the running state of the channels of a message and its copies. The error says why one of them is
// closed to messages.
func (p *plan) openChannels(s *Store, a *Append) error {
	if err := p.openChannel(s, a.Channel); err != nil {
		return err
	}
	for _, c := range a.Copies {
		if err := p.openChannel(s, c.Channel); err != nil {
			return err
		}
	}
	return nil
}

// items returns the items that have rows, in order.
func (p *plan) items() []int {
	items := make([]int, 0, len(p.rows))
	for _, r := range p.rows {
		if !r.copied {
			items = append(items, r.item)
		}
	}
	return items
}

// openChannel opens the running state of a channel. The error says that it is not the store's, or is out of service.
func (p *plan) openChannel(s *Store, c *Channel) error {
	if p.byChannel[c] != nil {
		return nil
	}
	if !s.isKnown(c) {
		return ErrUnknownChannel
	}
	if damaged := c.state().damaged; damaged != nil {
		return damaged
	}
	p.byChannel[c] = newAdvance(c)
	return nil
}

// resolveDuplicate finishes an event that this batch or, as far as is known, the database already holds.
func (p *plan) resolveDuplicate(b *batch, item int) bool {
	a := &b.appends[item]
	payload, erased, ok := p.earlier(b, a)
	if !ok {
		return false
	}
	id := a.eventKey()
	switch first := p.ids[id]; {
	case !erased && !a.same(payload):
		p.refuse(item, duplicateError(id))
	case first != nil:
		p.duplicates = append(p.duplicates, duplicate{item, first})
	default:
		p.decided = append(p.decided, decided{item, Result{Sequence: b.known[id].sequence, Position: b.known[id].position, Version: b.known[id].carried(a.Mapping), Duplicate: true}})
	}
	return true
}

// earlier returns the payload of the event that has the same event_id, if there is one. Of an erased one nothing is left to compare: it
// is the same event, which must not come back.
func (p *plan) earlier(b *batch, a *Append) (payload []byte, erased, ok bool) {
	if a.Event == nil || a.Event.ID == "" {
		return nil, false, false
	}
	id := a.eventKey()
	if first := p.ids[id]; first != nil {
		return first.payload, false, true
	}
	if old := b.known[id]; old != nil {
		return old.payload, old.erased > 0, true
	}
	return nil, false, false
}

// carried is the version that row.carried returned when the event was stored.
func (s *stored) carried(mapping *proto.Mapping) uint64 {
	if event, err := mapping.Extract(s.payload); err == nil && event.Version != 0 {
		return event.Version
	}
	return s.version
}

func duplicateError(id eventKey) error {
	return fmt.Errorf("event_id %q %w", id.id, ErrDuplicateEvent)
}

func (p *plan) refuse(item int, err error) {
	p.decided = append(p.decided, decided{item, Result{Err: err}})
}
