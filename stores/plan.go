package stores

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// row is a message with the place that it will have.
type row struct {
	item      int // position in the batch of Append
	channel   *Channel
	sequence  uint64
	timestamp int64
	data      []byte       // encoded pb.MsgProto
	event     *proto.Event // nil: no event
	version   uint64       // of the event, given by the publisher or by us
	document  []byte       // event_data as JSON
}

// stored is an event that the database holds.
type stored struct {
	sequence uint64
	payload  []byte // as the publisher sent it, perhaps with the version that we appended
}

// plan is what would become of some items of a batch: the rows of one transaction, and who gets none.
type plan struct {
	rows       []*row
	advances   []*advance // one for each channel of rows
	settled    []settled
	duplicates []duplicate // of rows of this plan

	byChannel map[*Channel]*advance
	heads     map[aggregate]uint64 // as they will be
	ids       map[eventKey]*row
}

// settled is an item whose result does not depend on the transaction.
type settled struct {
	item   int
	result Result
}

// duplicate is an item that is the same event as a row.
type duplicate struct {
	item int
	of   *row
}

// batch is one call of Append.
type batch struct {
	s         *Store
	appends   []Append
	results   []Result
	done      []bool   // items with a final result
	documents [][]byte // event_data as JSON, by item, made when needed

	heads map[aggregate]uint64 // committed, of the batch's aggregates
	known map[eventKey]*stored // events that were looked up: nil if the database does not hold it
}

// plan gives places to items, in order, on top of what is committed.
func (b *batch) plan(ctx context.Context, items []int) (*plan, error) {
	if err := b.fillHeads(ctx, items); err != nil {
		return nil, err
	}
	for {
		p, ask, err := b.simulate(items)
		if err != nil || len(ask) == 0 {
			return p, err
		}
		// An event with a version that is not the next one may be a stored one that is sent again.
		if err := b.lookUp(ctx, ask); err != nil {
			return nil, err
		}
	}
}

// simulate plans with what is known, and returns the events that must be looked up before its answer is final.
func (b *batch) simulate(items []int) (*plan, []eventKey, error) {
	p := &plan{
		rows:      make([]*row, 0, len(items)),
		byChannel: map[*Channel]*advance{},
		heads:     map[aggregate]uint64{},
		ids:       map[eventKey]*row{},
	}
	var ask []eventKey
	now := time.Now().UnixNano()
	for _, item := range items {
		a := &b.appends[item]
		adv := p.advance(b.s, a.Channel)
		if adv == nil {
			p.refuse(item, ErrUnknownChannel)
			continue
		}
		payload := a.Payload
		var version uint64
		if a.Event != nil {
			id := eventKey{a.Channel.id, a.Event.ID}
			if a.Event.ID != "" && p.again(b, item, id) {
				continue
			}
			key := aggregate{a.Channel.id, a.Event.AggregateType, a.Event.AggregateID}
			head, ok := p.heads[key]
			if !ok {
				head = b.heads[key]
			}
			version = a.Event.Version
			switch version {
			case 0:
				version = head + 1
				payload = proto.AppendVersion(payload, version)
			case head + 1:
			default:
				if _, looked := b.known[id]; a.Event.ID != "" && !looked {
					ask = append(ask, id)
				}
				p.refuse(item, &VersionError{Aggregate: a.Event.AggregateID, Head: head, Version: version})
				continue
			}
			p.heads[key] = version
		}
		r := &row{
			item:      item,
			channel:   a.Channel,
			sequence:  adv.last + 1,
			timestamp: max(now, adv.time), // a clock that is set back does not turn time back
			event:     a.Event,
			version:   version,
		}
		var err error
		r.data, err = (&pb.MsgProto{
			Sequence: r.sequence, Subject: a.Channel.name, Reply: a.Reply, Data: payload, Timestamp: r.timestamp,
		}).Marshal()
		if err != nil {
			return nil, nil, fmt.Errorf("encode message %d of channel %q: %w", r.sequence, a.Channel.name, err)
		}
		if a.Event != nil {
			if b.documents[item] == nil {
				b.documents[item] = proto.JSON(a.Event.Data, b.s.dialect.jsonDepth())
			}
			r.document = b.documents[item]
			if a.Event.ID != "" {
				p.ids[eventKey{a.Channel.id, a.Event.ID}] = r
			}
		}
		adv.last, adv.time = r.sequence, r.timestamp
		adv.msgs++
		adv.bytes += uint64(len(r.data))
		if adv.msgs == 1 {
			adv.from = r.sequence
			p.advances = append(p.advances, adv)
		}
		p.rows = append(p.rows, r)
	}
	return p, ask, nil
}

// advance returns the running state of a channel, nil if it is none of the store's.
func (p *plan) advance(s *Store, c *Channel) *advance {
	if adv := p.byChannel[c]; adv != nil {
		return adv
	}
	if !s.isKnown(c) {
		return nil
	}
	info := c.Info()
	adv := &advance{channel: c, last: info.Last, time: info.LastTime}
	p.byChannel[c] = adv
	return adv
}

// again settles an event that is in this batch or, as far as is known, in the database already.
func (p *plan) again(b *batch, item int, id eventKey) bool {
	payload := b.appends[item].Payload
	if first := p.ids[id]; first != nil {
		if proto.SameEvent(b.appends[first.item].Payload, payload) {
			p.duplicates = append(p.duplicates, duplicate{item, first})
		} else {
			p.refuse(item, duplicateError(id))
		}
		return true
	}
	if old := b.known[id]; old != nil {
		if proto.SameEvent(old.payload, payload) {
			p.settled = append(p.settled, settled{item, Result{Sequence: old.sequence, Duplicate: true}})
		} else {
			p.refuse(item, duplicateError(id))
		}
		return true
	}
	return false
}

func duplicateError(id eventKey) error {
	return fmt.Errorf("event_id %q %w", id.id, ErrDuplicateEvent)
}

func (p *plan) refuse(item int, err error) {
	p.settled = append(p.settled, settled{item, Result{Err: err}})
}

// fillHeads makes the last versions of all aggregates of items known, by one query for those not in memory.
func (b *batch) fillHeads(ctx context.Context, items []int) error {
	var missing []aggregate
	for _, item := range items {
		a := &b.appends[item]
		if a.Event == nil || a.Channel == nil {
			continue
		}
		key := aggregate{a.Channel.id, a.Event.AggregateType, a.Event.AggregateID}
		if _, ok := b.heads[key]; ok {
			continue
		}
		head, ok := b.s.heads.get(key)
		if !ok {
			missing = append(missing, key)
		}
		b.heads[key] = head
	}
	if len(missing) == 0 {
		return nil
	}
	err := b.s.persist(ctx, func() error {
		return b.s.dialect.heads(ctx, b.s.reader, missing, func(i int, version uint64) { b.heads[missing[i]] = version })
	})
	if err != nil {
		for _, key := range missing {
			delete(b.heads, key) // not to be taken for new aggregates
		}
		return fmt.Errorf("look up versions of %d aggregates: %w", len(missing), err)
	}
	return nil
}

// lookUp makes known whether the database holds events.
func (b *batch) lookUp(ctx context.Context, ids []eventKey) error {
	found := make([]*stored, len(ids))
	var broken error
	err := b.s.persist(ctx, func() error {
		return b.s.dialect.eventsByID(ctx, b.s.reader, ids, func(i int, sequence uint64, data []byte) {
			var m pb.MsgProto
			if err := m.Unmarshal(data); err != nil {
				broken = fmt.Errorf("message %d: %w: %w", sequence, errCorrupt, err)
				return
			}
			found[i] = &stored{sequence, m.Data}
		})
	})
	if err = errors.Join(err, broken); err != nil {
		return fmt.Errorf("look up %d events: %w", len(ids), err)
	}
	for i, id := range ids {
		b.known[id] = found[i]
	}
	return nil
}

// persist tries a read until ctx ends.
func (s *Store) persist(ctx context.Context, read func() error) error {
	var wait backoff
	for {
		err := read()
		if err == nil {
			return nil
		}
		if s.closed.Load() {
			return ErrClosed
		}
		if isOurs(err) {
			return err
		}
		if !wait.sleep(ctx) {
			return unavailable(ctx, err)
		}
	}
}
