package eventlog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// erasedAtOnce is how many events an erasure may have left to list while publishers wait.
	erasedAtOnce = 100
	// copiedWithin is by how much the times of an event and its copy may differ. They are the same unless the clock was set back.
	copiedWithin = 10 * time.Second
)

// erasureList finds the messages of an erasure, in steps: each goes on where the one before ended.
type erasureList struct {
	log     *Log
	erasure *stores.Erasure
	by      proto.Erasure
	most    int // stop at this number of events; 0: no limit

	messages []stores.ErasedMessage // that the last step has found

	versions map[stores.Aggregate]uint64 // the next version of each aggregate
	position uint64                      // the next position
	done     bool                        // of a single event

	copies map[[sha256.Size]byte]copyOf // by what a copy of an event consists of
	times  []int64                      // of the events of this step
}

// copyOf says what replaces the copy of an event.
type copyOf struct {
	times   []int64 // of the events with this content
	payload []byte
}

func (e *Eraser) newList(erasure *stores.Erasure) *erasureList {
	return &erasureList{
		log: e.log, erasure: erasure, by: proto.Erasure{ID: erasure.ID, Time: time.Unix(0, erasure.Requested)},
		versions: map[stores.Aggregate]uint64{}, position: 1,
	}
}

// next finds the events that were stored since the step before, and their copies.
func (f *erasureList) next(ctx context.Context) error {
	f.copies, f.times = map[[sha256.Size]byte]copyOf{}, nil
	var selected ErasedEvents
	if err := json.Unmarshal([]byte(f.erasure.Selector), &selected); err != nil {
		return fmt.Errorf("the selector of erasure %d: %w", f.erasure.ID, err)
	}
	f.by.ID = f.erasure.ID
	var err error
	switch {
	case selected.AggregateID != "":
		err = f.aggregates(ctx, &selected)
	case selected.Sequence > 0:
		err = f.single(ctx, &selected)
	default:
		err = f.tagged(ctx, &selected)
	}
	if err != nil || len(f.messages) == 0 || f.full() {
		return err
	}
	return f.findCopies(ctx)
}

func (f *erasureList) full() bool { return f.most > 0 && len(f.messages) >= f.most }

func (f *erasureList) aggregates(ctx context.Context, selected *ErasedEvents) error {
	all, err := f.log.store.AggregatesWithID(ctx, selected.AggregateID)
	if err != nil {
		return err
	}
	for _, a := range all {
		if selected.Channel != "" && a.Channel.Name() != selected.Channel || selected.AggregateType != nil && a.Type != *selected.AggregateType {
			continue
		}
		for more := true; more && !f.full(); {
			var events []stores.Message
			events, more, err = f.log.store.ReadAggregate(ctx, a, max(f.versions[a], 1), false, batchMsgs, batchBytes)
			if err != nil {
				return err
			}
			for i := range events {
				if err := f.add(a.Channel, &events[i]); err != nil {
					return err
				}
				f.versions[a] = events[i].Version + 1
			}
		}
	}
	return nil
}

func (f *erasureList) single(ctx context.Context, selected *ErasedEvents) error {
	ch := f.log.Channel(selected.Channel)
	if ch == nil || f.done {
		return nil
	}
	f.done = true
	found, err := f.log.store.Read(ctx, ch.stored, selected.Sequence, selected.Sequence, 1, batchBytes)
	if err != nil || len(found) == 0 {
		return err
	}
	if found[0].Position == 0 {
		return fmt.Errorf("message %d of channel %q: %w", selected.Sequence, selected.Channel, ErrNotAnEvent)
	}
	return f.add(ch.stored, &found[0])
}

func (f *erasureList) tagged(ctx context.Context, selected *ErasedEvents) error {
	item := stores.QueryItem{Tags: []string{selected.Tag}}
	if selected.Channel != "" {
		item.Channels = []string{selected.Channel}
	}
	reader, err := f.log.store.QueryReader(stores.Query{Items: []stores.QueryItem{item}}, false)
	if err != nil {
		return err
	}
	for end := f.log.Position(); f.position <= end && !f.full(); {
		page, err := reader.Read(ctx, f.position, end, batchMsgs, batchBytes)
		if err != nil {
			return err
		}
		for i := range page.Events {
			if err := f.add(page.Events[i].Channel, &page.Events[i].Message); err != nil {
				return err
			}
		}
		f.position = page.Through + 1
	}
	return nil
}

// add adds an event, unless it was erased before. What tells readers of erasures is never erased: its aggregates are numbers, which those of
// applications may be, too.
func (f *erasureList) add(stored *stores.Channel, m *stores.Message) error {
	if m.Erased > 0 || m.Position == 0 || stored.Name() == ErasuresChannel {
		return nil
	}
	var mapping *proto.Mapping
	if ch := f.log.Channel(stored.Name()); ch != nil {
		mapping = ch.Mapping()
	}
	var msg pb.MsgProto
	if err := msg.Unmarshal(m.Data); err != nil {
		return fmt.Errorf("message %d of channel %q: %w", m.Sequence, stored.Name(), err)
	}
	event, err := mapping.Extract(msg.Data)
	if err != nil {
		return fmt.Errorf("event %d of channel %q cannot be read with the configuration of its channel: %w", m.Sequence, stored.Name(), err)
	}
	event.Version = cmp.Or(event.Version, m.Version)
	payload := mapping.Tombstone(msg.Data, &event, f.by)
	f.copy(msg.Data, m.Timestamp, payload)
	if len(event.Data) > 0 {
		f.copy(event.Data, m.Timestamp, proto.DataTombstone(event.Data, f.by))
	}
	f.times = append(f.times, m.Timestamp)
	return f.put(stored, m, payload)
}

// copy notes what a copy of an event consists of.
func (f *erasureList) copy(content []byte, at int64, payload []byte) {
	sum := sha256.Sum256(content)
	c := f.copies[sum]
	c.times, c.payload = append(c.times, at), payload
	f.copies[sum] = c
}

// put adds a message and the payload that replaces its own.
func (f *erasureList) put(ch *stores.Channel, m *stores.Message, payload []byte) error {
	data, err := (&pb.MsgProto{Sequence: m.Sequence, Subject: ch.Name(), Data: payload, Timestamp: m.Timestamp}).Marshal()
	if err != nil {
		return fmt.Errorf("encode message %d of channel %q: %w", m.Sequence, ch.Name(), err)
	}
	f.messages = append(f.messages, stores.ErasedMessage{Channel: ch, Sequence: m.Sequence, Position: m.Position, Data: data})
	return nil
}

// findCopies adds the copies of the events of this step. Routes leave no trace in a copy, but it has the same bytes and the same time,
// whatever routes were configured then.
func (f *erasureList) findCopies(ctx context.Context) error {
	slices.Sort(f.times)
	for _, ch := range f.log.Channels() {
		if ch.block != nil {
			continue
		}
		for i := 0; i < len(f.times); {
			from, to := f.times[i]-int64(copiedWithin), f.times[i]+int64(copiedWithin)
			for i++; i < len(f.times) && f.times[i]-int64(copiedWithin) <= to; i++ {
				to = f.times[i] + int64(copiedWithin)
			}
			if err := f.copiesIn(ctx, ch, from, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// copiesIn adds the copies that a channel has from one time to another.
func (f *erasureList) copiesIn(ctx context.Context, ch *Channel, from, to int64) error {
	next, err := f.log.store.SequenceAt(ctx, ch.stored, from)
	if err != nil || next == 0 {
		return err
	}
	for last := ch.stored.Info().Last; next <= last; {
		found, err := f.log.store.Read(ctx, ch.stored, next, last, batchMsgs, batchBytes)
		if err != nil || len(found) == 0 {
			return err
		}
		for i := range found {
			m := &found[i]
			if m.Timestamp > to {
				return nil
			}
			next = m.Sequence + 1
			if m.Erased > 0 {
				continue
			}
			var msg pb.MsgProto
			if msg.Unmarshal(m.Data) != nil {
				continue // a damaged row, which others report
			}
			c, ok := f.copies[sha256.Sum256(msg.Data)]
			if !ok || !slices.ContainsFunc(c.times, func(at int64) bool { return max(at-m.Timestamp, m.Timestamp-at) <= int64(copiedWithin) }) {
				continue
			}
			if err := f.put(ch.stored, m, c.payload); err != nil {
				return err
			}
		}
	}
	return nil
}
