package server

import (
	"context"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// HoldsEvents implements api.Log.
func (l apiReads) HoldsEvents(pattern string) bool {
	if eventlog.ValidChannel(pattern) {
		return l.events.Of(pattern) != nil
	}
	return slices.ContainsFunc(l.events.Patterns(), func(p string) bool { return eventlog.Overlap(p, pattern) })
}

// EventCursor implements api.Log.
func (l apiReads) EventCursor(q stores.Query, from uint64) (api.EventCursor, error) {
	cursor, err := l.eventlog.EventCursor(q, from)
	if err != nil {
		return nil, err
	}
	return apiEventCursor{cursor, apiEventReader{cursor, l}}, nil
}

// BackwardCursor implements api.Log.
func (l apiReads) BackwardCursor(q stores.Query, from uint64) (api.EventReader, error) {
	cursor, err := l.eventlog.BackwardCursor(q, from)
	if err != nil {
		return nil, err
	}
	return apiEventReader{cursor, l}, nil
}

// Position implements api.Log.
func (l apiReads) Position() uint64 { return l.eventlog.Position() }

// PositionAt implements api.Log.
func (l apiReads) PositionAt(ctx context.Context, ns int64) (uint64, error) {
	return l.eventlog.PositionAt(ctx, ns)
}

// apiEventReader reads for as long as the term lasts.
type apiEventReader struct {
	api.EventReader
	log apiReads
}

// ReadTo implements api.EventReader.
func (r apiEventReader) ReadTo(ctx context.Context, to uint64, max int) ([]eventlog.Event, error) {
	if r.log.isDone() {
		return nil, api.ErrStandby
	}
	return r.EventReader.ReadTo(ctx, to, max)
}

// apiEventCursor is an apiEventReader that learns of new events.
type apiEventCursor struct {
	*eventlog.EventCursor
	reader apiEventReader
}

// ReadTo implements api.EventReader.
func (c apiEventCursor) ReadTo(ctx context.Context, to uint64, max int) ([]eventlog.Event, error) {
	return c.reader.ReadTo(ctx, to, max)
}
