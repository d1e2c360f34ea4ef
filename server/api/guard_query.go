package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// permitQuery returns an error unless the caller may read each channel that the query names, and some channel that each of
// its patterns may match. Of a pattern that goes beyond his rights, the caller gets the events that he may read.
func (g guarded) permitQuery(q stores.Query) error {
	for _, pattern := range patternsOf(q) {
		if eventlog.ValidChannel(pattern) {
			if err := g.permit(pattern, access.Read); err != nil {
				return err
			}
			continue
		}
		p := g.caller.principal()
		if p == nil {
			return errNoCaller
		}
		if !p.MaySome(access.Read, pattern) {
			return fmt.Errorf("%w: principal %q has no right %q on any channel that matches %q; the server's access file grants rights", ErrDenied, p.Name, access.Read, pattern)
		}
	}
	return nil
}

// patternsOf returns the patterns of channels of all items: > for an item without any.
func patternsOf(q stores.Query) (patterns []string) {
	for i := range q.Items {
		if len(q.Items[i].Channels) == 0 {
			return []string{">"}
		}
		patterns = append(patterns, q.Items[i].Channels...)
	}
	if len(patterns) == 0 {
		return []string{">"}
	}
	return patterns
}

// checkQuery returns an error unless the caller may ask the query, and event channels may match each of its patterns.
func (g guarded) checkQuery(q stores.Query) error {
	if err := g.permitQuery(q); err != nil {
		return err
	}
	for _, pattern := range patternsOf(q) {
		if pattern != ">" && !g.log.HoldsEvents(pattern) {
			return fmt.Errorf("channels: %q: %w: name one, or declare it with -event_channels or in a block events", pattern, ErrNoEventChannel)
		}
	}
	return nil
}

// eventCursor is Log.EventCursor for the events that the caller may read.
func (g guarded) eventCursor(q stores.Query, from uint64) (EventCursor, error) {
	if err := g.checkQuery(q); err != nil {
		return nil, err
	}
	cursor, err := g.log.EventCursor(q, from)
	if err != nil {
		return nil, err
	}
	return guardedEvents{cursor, guardedReader{cursor, g}}, nil
}

// backwardCursor is Log.BackwardCursor for the events that the caller may read.
func (g guarded) backwardCursor(q stores.Query, from uint64) (EventReader, error) {
	if err := g.checkQuery(q); err != nil {
		return nil, err
	}
	reader, err := g.log.BackwardCursor(q, from)
	if err != nil {
		return nil, err
	}
	return guardedReader{reader, g}, nil
}

// position is Log.Position.
func (g guarded) position() uint64 { return g.log.Position() }

// positionAt is Log.PositionAt.
func (g guarded) positionAt(ctx context.Context, ns int64) (uint64, error) {
	return g.log.PositionAt(ctx, ns)
}

// guardedReader drops events that the caller may not read, at each read: a reload may have taken a right.
type guardedReader struct {
	EventReader
	guard guarded
}

// ReadTo implements EventReader.
func (r guardedReader) ReadTo(ctx context.Context, to uint64, max int) ([]eventlog.Event, error) {
	events, err := r.EventReader.ReadTo(ctx, to, max)
	if err != nil {
		return nil, err
	}
	known := map[*eventlog.Channel]bool{}
	events = slices.DeleteFunc(events, func(e eventlog.Event) bool {
		may, ok := known[e.Channel]
		if !ok {
			may = e.Channel.Events() != nil && r.guard.allows(e.Channel.Name(), access.Read)
			known[e.Channel] = may
		}
		return !may
	})
	return events, r.unseal(ctx, events)
}

// unseal decrypts values of events as far as the caller may see them.
func (r guardedReader) unseal(ctx context.Context, events []eventlog.Event) error {
	byChannel := map[*eventlog.Channel][]int{}
	for i, e := range events {
		if e.Channel.Encrypts() {
			byChannel[e.Channel] = append(byChannel[e.Channel], i)
		}
	}
	for ch, at := range byChannel {
		if !r.guard.allows(ch.Name(), access.Personal) {
			continue
		}
		msgs := make([]stores.Message, len(at))
		for i := range at {
			msgs[i] = events[at[i]].Message
		}
		msgs, err := ch.Unseal(ctx, msgs)
		if err != nil {
			return err
		}
		for i := range at {
			events[at[i]].Message = msgs[i]
		}
	}
	return nil
}

// guardedEvents is a guardedReader that learns of new events.
type guardedEvents struct {
	EventCursor
	reader guardedReader
}

// ReadTo implements EventReader.
func (c guardedEvents) ReadTo(ctx context.Context, to uint64, max int) ([]eventlog.Event, error) {
	return c.reader.ReadTo(ctx, to, max)
}
