package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// guarded is the log as one caller may use it. Handlers have no other way to the log, so no method can forget to check a
// right. It checks before the log looks anything up: a refusal does not tell whether a channel exists.
type guarded struct {
	log      Log
	caller   *caller
	patience patience
}

// leading returns the log for the caller of a request that appends, or ErrStandby.
func (s *service) leading(ctx context.Context) (guarded, error) {
	log := s.log()
	if _, follows := log.(Follower); log == nil || follows {
		return guarded{}, ErrStandby
	}
	return guarded{log, ctx.Value(callerKey{}).(*caller), patience{}}, nil
}

// reading returns the log for the caller of a request that reads, as fresh as it asks for, or ErrStandby or ErrBehind.
func (s *service) reading(ctx context.Context) (guarded, error) {
	log := s.log()
	if log == nil {
		return guarded{}, ErrStandby
	}
	if err := awaitPosition(ctx, log); err != nil {
		return guarded{}, err
	}
	patience, err := patienceOf(ctx, log)
	if err != nil {
		return guarded{}, err
	}
	return guarded{log, ctx.Value(callerKey{}).(*caller), patience}, nil
}

// permit returns an error unless the caller has one of the rights on the channel. The name of an invalid channel is for the
// log to refuse.
func (g guarded) permit(channel string, rights ...access.Right) error {
	if !eventlog.ValidChannel(channel) {
		return nil
	}
	p := g.caller.principal()
	switch {
	case p == nil:
		return errNoCaller
	case slices.ContainsFunc(rights, func(r access.Right) bool { return p.May(r, channel) }):
		return nil
	}
	return fmt.Errorf("%w: principal %q has no right %q on channel %q; the server's access file grants rights", ErrDenied, p.Name, rights[0], channel)
}

// errNoCaller refuses a caller who was known when the call began.
var errNoCaller = fmt.Errorf("%w: the token or client certificate is no longer accepted", ErrDenied)

func (g guarded) allows(channel string, rights ...access.Right) bool {
	return eventlog.ValidChannel(channel) && g.permit(channel, rights...) == nil
}

// channel is Log.Channel for a caller with a right.
func (g guarded) channel(name string, right access.Right) (Channel, error) {
	if err := g.permit(name, right); err != nil {
		return nil, err
	}
	ch, err := g.log.Channel(name)
	if err != nil {
		return nil, err
	}
	return guardedChannel{ch, g}, nil
}

// open is Log.Open for a caller with a right.
func (g guarded) open(ctx context.Context, name string, right access.Right) (Channel, error) {
	if err := g.permit(name, right); err != nil {
		return nil, err
	}
	ch, err := g.log.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return guardedChannel{ch, g}, nil
}

// channels returns the channels on which the caller has one of the rights.
func (g guarded) channels(rights ...access.Right) []Channel {
	var channels []Channel
	for _, ch := range g.log.Channels() {
		if g.allows(ch.Stored().Name(), rights...) {
			channels = append(channels, guardedChannel{ch, g})
		}
	}
	return channels
}

// fillsStream is Log.FillsStream. The name of a stream says nothing about a channel.
func (g guarded) fillsStream(name string) bool { return g.log.FillsStream(name) }

// append is Log.Append to channels of this log. The conditions concern what the caller may read.
func (g guarded) append(ctx context.Context, events []Encoded, as *stores.Group) ([]stores.Result, error) {
	for i := range as.Conditions {
		if err := g.checkQuery(as.Conditions[i].Query); err != nil {
			return nil, fmt.Errorf("condition %d: %w", i+1, err)
		}
		as.Conditions[i].May = func(channel string) bool { return g.allows(channel, access.Read) }
	}
	for i := range events {
		if err := g.permit(events[i].To.Stored().Name(), access.Append); err != nil {
			return nil, err
		}
		events[i].To = events[i].To.(guardedChannel).Channel
		if events[i].DataTo == "" {
			continue
		}
		if err := g.permit(events[i].DataTo, access.Append); err != nil {
			return nil, err
		}
	}
	return g.log.Append(ctx, g.caller.appender(), events, as)
}

// appenderOf is Log.AppenderOf for administrators of the channel, and nil for others.
func (g guarded) appenderOf(ctx context.Context, ch Channel, sequence uint64) (*eventstorev1.Appender, error) {
	if !g.allows(ch.Stored().Name(), access.Admin) {
		return nil, nil
	}
	by, err := g.log.AppenderOf(ctx, ch.Stored(), sequence)
	if by == nil || err != nil {
		return nil, err
	}
	return &eventstorev1.Appender{Principal: by.Principal, ClientId: by.ClientID, Address: by.Address}, nil
}

// delivered is Log.Delivered.
func (g guarded) delivered(ctx context.Context, channel string, events []*eventstorev1.RecordedEvent, began time.Time) {
	g.log.Delivered(ctx, channel, events, began)
}

// eventsWithID is Log.EventsWithID among the channels that the caller may read.
func (g guarded) eventsWithID(ctx context.Context, id string) ([]stores.FoundEvent, error) {
	found, err := g.log.EventsWithID(ctx, id)
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(e stores.FoundEvent) bool { return !g.allows(e.Channel.Name(), access.Read) })
	for i := range found {
		ch, err := g.log.Channel(found[i].Channel.Name())
		if err != nil {
			continue // no longer an event channel
		}
		if found[i].Message, err = g.unsealOne(ctx, ch, found[i].Message); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// aggregatesWithID is Log.AggregatesWithID among the channels that the caller may read.
func (g guarded) aggregatesWithID(ctx context.Context, id string) ([]stores.Aggregate, error) {
	found, err := g.log.AggregatesWithID(ctx, id)
	return slices.DeleteFunc(found, func(a stores.Aggregate) bool { return !g.allows(a.Channel.Name(), access.Read) }), err
}

func (g guarded) readAggregate(ctx context.Context, a stores.Aggregate, from uint64, backward bool, maxMsgs, maxBytes int) (messages []stores.Message, more bool, err error) {
	if err := g.permit(a.Channel.Name(), access.Read); err != nil {
		return nil, false, err
	}
	messages, more, err = g.log.ReadAggregate(ctx, a, from, backward, maxMsgs, maxBytes)
	if err != nil {
		return nil, false, err
	}
	ch, err := g.log.Channel(a.Channel.Name())
	if err != nil {
		return nil, false, err
	}
	messages, err = g.unseal(ctx, ch, messages)
	return messages, more, err
}

// done is Log.Done.
func (g guarded) done() <-chan struct{} { return g.log.Done() }

// guardedChannel is a channel whose messages are for callers with the right to read.
type guardedChannel struct {
	Channel
	guard guarded
}

func (c guardedChannel) mayRead() error { return c.guard.permit(c.Stored().Name(), access.Read) }

// Lookup implements Channel.
func (c guardedChannel) Lookup(ctx context.Context, sequences []uint64) (map[uint64]stores.Message, error) {
	if err := c.mayRead(); err != nil {
		return nil, err
	}
	found, err := c.Channel.Lookup(ctx, sequences)
	if err != nil {
		return nil, err
	}
	msgs, err := c.guard.unseal(ctx, c.Channel, slices.Collect(maps.Values(found)))
	if err != nil {
		return nil, err
	}
	for _, m := range msgs {
		found[m.Sequence] = m
	}
	return found, nil
}

// SequenceAt implements Channel.
func (c guardedChannel) SequenceAt(ctx context.Context, ns int64) (uint64, error) {
	if err := c.mayRead(); err != nil {
		return 0, err
	}
	return c.Channel.SequenceAt(ctx, ns)
}

// Cursor implements Channel.
func (c guardedChannel) Cursor(from uint64) Cursor { return guardedCursor{c.Channel.Cursor(from), c} }

// guardedCursor checks the right at each read: a reload may have taken it.
type guardedCursor struct {
	Cursor
	channel guardedChannel
}

// ReadTo implements Cursor.
func (c guardedCursor) ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error) {
	if err := c.channel.mayRead(); err != nil {
		return nil, err
	}
	msgs, err := c.Cursor.ReadTo(ctx, to, max)
	if err != nil {
		return nil, err
	}
	return c.channel.guard.unseal(ctx, c.channel.Channel, msgs)
}
