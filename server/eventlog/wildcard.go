package eventlog

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/stan.go/pb"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Wildcard is the line of the events of all channels that match a pattern, those of channels to come included, in the order of
// their positions. Messages that are not events have no position, and are not in it. Wildcards of the same pattern are equal.
type Wildcard struct {
	log     *Log
	pattern string
}

// Wildcard returns the line of a pattern.
func (l *Log) Wildcard(pattern string) (Wildcard, error) {
	w := Wildcard{l, pattern}
	if err := w.query().Validate(); err != nil {
		return Wildcard{}, err
	}
	return w, nil
}

// Reaches reports whether an event channel can match the pattern.
func (w Wildcard) Reaches() bool {
	return slices.ContainsFunc(w.log.o.Events.Patterns(), func(p string) bool { return Overlap(p, w.pattern) })
}

func (w Wildcard) query() stores.Query {
	return stores.Query{Items: []stores.QueryItem{{Channels: []string{w.pattern}}}}
}

// selected returns what reads the line.
func (w Wildcard) selected(q stores.Query) *selected {
	stored, err := w.log.store.QueryReader(q, false)
	if err != nil {
		panic(err) // it asks for channels at most
	}
	return &selected{w.log, q, stored}
}

// Name returns the pattern.
func (w Wildcard) Name() string { return w.pattern }

// Pattern is Name.
func (w Wildcard) Pattern() string { return w.pattern }

// Exists returns true: the line needs no channel.
func (w Wildcard) Exists() bool { return true }

// Stored returns nil: the line is not a channel of the store.
func (w Wildcard) Stored() *stores.Channel { return nil }

// Includes reports whether a channel is part of the line.
func (w Wildcard) Includes(channel string) bool { return Matches(w.pattern, channel) }

// Info describes the line in positions, whether or not their events match. Its bytes and time are unknown.
func (w Wildcard) Info() stores.ChannelInfo {
	last := w.log.Position()
	return stores.ChannelInfo{First: min(last, 1), Last: last, Msgs: last}
}

// MessageBytes returns the average size of the messages in the channels of the line.
func (w Wildcard) MessageBytes() int {
	var msgs, bytes uint64
	for _, ch := range w.log.Channels() {
		if ch.block != nil && w.Includes(ch.name) {
			info := ch.stored.Info()
			msgs, bytes = msgs+info.Msgs, bytes+info.Bytes
		}
	}
	return int(bytes / max(msgs, 1))
}

// MaxSubscriptions bounds the subscriptions to the pattern; 0 means unlimited.
func (w Wildcard) MaxSubscriptions() int { return w.log.o.Limits.OfPattern(w.pattern).MaxSubscriptions }

// Touch does nothing: event channels are not deleted for inactivity.
func (w Wildcard) Touch() {}

// Place returns a message's position.
func (w Wildcard) Place(m *stores.Message) uint64 { return m.Position }

// Origin returns the channel of a message of the line, or nil if it was deleted.
func (w Wildcard) Origin(m *stores.Message) *Channel {
	var msg pb.MsgProto
	if msg.Unmarshal(m.Data) != nil {
		return nil
	}
	return w.log.Channel(msg.Subject)
}

// Follow returns a cursor at a position, which may be that of an event to come. The caller closes it.
func (w Wildcard) Follow(next uint64) Follower {
	return eventFollower{newReader[Event, byPosition](w.log, w.selected(w.query()), next)}
}

// eventFollower returns the events of a cursor as messages whose encoded sequence is the position.
type eventFollower struct{ *EventCursor }

func (p eventFollower) Next(max int) ([]stores.Message, error) {
	events, err := p.EventCursor.Next(max)
	if len(events) == 0 {
		return nil, err
	}
	msgs := make([]stores.Message, len(events))
	for i := range events {
		msgs[i] = positioned(events[i].Message)
	}
	return msgs, err
}

func (p eventFollower) Passed() uint64 { return p.Position() - 1 }

// sequenceTag is that of field 1 of pb.MsgProto, the sequence, with which messages begin.
var sequenceTag = protowire.AppendTag(nil, 1, protowire.VarintType)

// positioned returns a message whose encoded sequence is its position.
func positioned(m stores.Message) stores.Message {
	rest := m.Data
	if len(rest) > 0 && rest[0] == sequenceTag[0] {
		if _, n := protowire.ConsumeVarint(rest[1:]); n > 0 {
			rest = rest[1+n:]
		}
	}
	data := make([]byte, 0, len(sequenceTag)+protowire.SizeVarint(m.Position)+len(rest))
	data = protowire.AppendVarint(append(data, sequenceTag...), m.Position)
	m.Data = append(data, rest...)
	return m
}

// Lookup returns the stored messages at positions.
func (w Wildcard) Lookup(ctx context.Context, at []uint64) (map[uint64]stores.Message, error) {
	found, err := lookup[Event, byPosition](ctx, w.selected(stores.Query{}), at)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", w.pattern, err)
	}
	msgs := make(map[uint64]stores.Message, len(found))
	for at, e := range maps.All(found) {
		msgs[at] = positioned(e.Message)
	}
	return msgs, nil
}

// LastReceived returns the position of the last event, or 0 without one.
func (w Wildcard) LastReceived(ctx context.Context) (uint64, error) {
	c, err := w.log.BackwardCursor(w.query(), w.log.Position())
	if err != nil {
		return 0, err
	}
	for c.Position() > 0 {
		events, err := c.ReadTo(ctx, 1, 1)
		if err != nil {
			return 0, err
		}
		if len(events) > 0 {
			return events[0].Position, nil
		}
	}
	return 0, nil
}

// PlaceAt returns the first position with a timestamp of ns (since 1970) or later, or 0 without one.
func (w Wildcard) PlaceAt(ctx context.Context, ns int64) (uint64, error) {
	return w.log.PositionAt(ctx, ns)
}

// TimestampInMemory returns the timestamp of the event at a position and true. If it is not in memory, it returns a later
// timestamp, or 0, and false.
func (w Wildcard) TimestampInMemory(position uint64) (int64, bool) {
	e, found := w.log.order.memory.get(position)
	return e.Timestamp, found
}

// Timestamp returns the timestamp of the first event at or after a position, or 0 without one. If that takes a long search, it
// returns the timestamp of another event before it.
func (w Wildcard) Timestamp(ctx context.Context, position uint64) (int64, error) {
	c, last := newReader[Event, byPosition](w.log, w.selected(w.query()), position), w.log.Position()
	defer c.Close()
	events, err := c.ReadTo(ctx, last, 1)
	switch {
	case err != nil:
		return 0, err
	case len(events) > 0:
		return events[0].Timestamp, nil
	case c.Position() > last:
		return 0, nil
	}
	any := newReader[Event, byPosition](w.log, w.selected(stores.Query{}), c.Position())
	defer any.Close()
	if events, err = any.ReadTo(ctx, last, 1); err != nil || len(events) == 0 {
		return 0, err
	}
	return events[0].Timestamp, nil
}
