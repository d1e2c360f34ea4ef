package eventlog

import (
	"cmp"
	"context"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Event is an event with its channel.
type Event struct {
	Channel *Channel
	stores.Message
	// columns are what a query asks for, without event_data. nil if the event was read from the database.
	columns *proto.Event
}

func newEvent(ch *Channel, m stores.Message, e *proto.Event) Event {
	columns := &proto.Event{Type: e.Type, AggregateID: e.AggregateID, AggregateType: e.AggregateType, Metadata: e.Metadata, Tags: e.Tags}
	return Event{ch, m, columns}
}

// byPosition is the kind of events in their one order.
type byPosition struct{}

func (byPosition) place(e *Event) uint64 { return e.Position }

func (byPosition) size(e *Event) int {
	bytes := len(e.Data)
	if c := e.columns; c != nil {
		bytes += columnsOverhead + len(c.Type) + len(c.AggregateID) + len(c.AggregateType) + len(c.Metadata)
		for _, tag := range c.Tags {
			bytes += tagOverhead + len(tag)
		}
	}
	return bytes
}

// Memory of the columns of an event, and of a tag, beside their texts, in bytes.
const (
	columnsOverhead = 200
	tagOverhead     = 16
)

// order is the order of all events. While there are cursors, it keeps the last events in memory, so that those that follow
// the log ask the database nothing.
type order struct {
	tails    *tails
	memory   memory[Event, byPosition]
	watchers watchers
}

func (o *order) watched() bool { return o.watchers.any() }

func (o *order) watch(wake func()) (stop func()) {
	unwatch := o.watchers.watch(wake)
	return func() {
		unwatch()
		if !o.watched() {
			o.tails.remove(&o.memory)
		}
	}
}

// committed adds committed events. Only the writer calls it.
func (o *order) committed(events []Event) {
	remember(o.tails, &o.memory, events)
	if len(events) > 0 {
		o.watchers.wake()
	}
}

// Position returns the position of the last committed event, 0 if there is none.
func (l *Log) Position() uint64 { return l.store.Position() }

// PositionAt returns the position of the first event with a timestamp of ns (since 1970) or later, or 0 without one.
func (l *Log) PositionAt(ctx context.Context, ns int64) (uint64, error) {
	return l.store.PositionAt(ctx, ns)
}

// selected are the events that match a query. It implements readable.
type selected struct {
	log    *Log
	query  stores.Query
	stored *stores.QueryReader // used by one load at a time
}

// EventCursor reads the events of all channels that match a query, by position: see reader.
type EventCursor = reader[Event, byPosition]

// EventCursor returns a cursor at a position, which may be that of an event to come. The query is valid. The caller closes
// the cursor.
func (l *Log) EventCursor(q stores.Query, next uint64) (*EventCursor, error) {
	stored, err := l.store.QueryReader(q, false)
	if err != nil {
		return nil, err
	}
	return newReader[Event, byPosition](l, &selected{l, q, stored}, next), nil
}

func (s *selected) gone() error                      { return nil }
func (s *selected) first() uint64                    { return 1 }
func (s *selected) last() uint64                     { return s.log.Position() }
func (s *selected) reaches(from uint64) bool         { return s.log.order.memory.reaches(from) }
func (s *selected) remaining(events []Event) []Event { return events }
func (s *selected) Watch(wake func()) (stop func())  { return s.log.order.watch(wake) }
func (s *selected) matches(e *Event) bool            { return s.query.Matches(e.Channel.name, e.columns) }

func (s *selected) recent(from, to uint64, max int) (page[Event], bool) {
	events := s.log.order.memory.read(from, to, batchMsgs)
	if events == nil {
		return page[Event]{}, false
	}
	part := page[Event]{msgs: events[:0], plan: "memory"}
	bytes := 0
	for i := range events {
		e := &events[i]
		if s.matches(e) {
			if n := len(part.msgs); n == max || n > 0 && bytes+len(e.Data) > batchBytes {
				break
			}
			bytes += len(e.Data)
			part.msgs = append(part.msgs, *e)
		}
		part.through = e.Position
	}
	clear(events[len(part.msgs):])
	return part, true
}

func (s *selected) load(ctx context.Context, from, to uint64, maxMsgs, maxBytes int) (page[Event], error) {
	return s.log.loadEvents(ctx, s.stored, from, to, maxMsgs, maxBytes)
}

// loadEvents waits for its turn, then reads events from the database.
func (l *Log) loadEvents(ctx context.Context, r *stores.QueryReader, from, to uint64, maxMsgs, maxBytes int) (page[Event], error) {
	done, err := l.reading.turn(ctx)
	if err != nil {
		return page[Event]{}, err
	}
	defer done()
	found, err := r.Read(ctx, from, to, maxMsgs, maxBytes)
	if err != nil {
		l.damage.Note(err)
		return page[Event]{}, err
	}
	l.metrics.Replayed(len(found.Events))
	part := page[Event]{through: found.Through, plan: found.Plan}
	for _, e := range found.Events {
		ch := l.channels.get(e.Channel.Name())
		if ch == nil {
			return page[Event]{}, fmt.Errorf("read position %d: channel %q: %w", e.Position, e.Channel.Name(), stores.ErrUnknownChannel)
		}
		part.msgs = append(part.msgs, Event{Channel: ch, Message: e.Message})
	}
	return part, nil
}

// BackwardCursor reads the events that match a query backward.
type BackwardCursor struct {
	log    *Log
	stored *stores.QueryReader
	next   uint64
	plan   string
}

// BackwardCursor returns a cursor at a position, or at the last one if that is lower. The query is valid.
func (l *Log) BackwardCursor(q stores.Query, from uint64) (*BackwardCursor, error) {
	stored, err := l.store.QueryReader(q, true)
	if err != nil {
		return nil, err
	}
	return &BackwardCursor{log: l, stored: stored, next: min(from, l.Position())}, nil
}

// Position returns the next position, 0 if none is left.
func (c *BackwardCursor) Position() uint64 { return c.next }

// Plan says how the last events were found, for people.
func (c *BackwardCursor) Plan() string { return c.plan }

// ReadTo returns up to max events, by descending position, none below position to. It may return none before; Position is
// below to once none are left.
func (c *BackwardCursor) ReadTo(ctx context.Context, to uint64, max int) ([]Event, error) {
	if c.next < to || c.next == 0 {
		return nil, nil
	}
	part, err := c.log.loadEvents(ctx, c.stored, c.next, cmp.Or(to, 1), min(max, batchMsgs), batchBytes)
	if err != nil {
		return nil, err
	}
	if err := c.log.pace.wait(ctx, len(part.msgs), 1); err != nil {
		return nil, err
	}
	c.next, c.plan = part.through-1, part.plan
	return part.msgs, nil
}
