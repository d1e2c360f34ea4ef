package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// apiReads is the part of api.Log that reads, on the server that leads and on a standby alike.
type apiReads struct {
	*server
	store    *stores.Store // that of eventlog
	events   eventlog.Events
	eventlog *eventlog.Log
	ended    <-chan struct{} // closed when this server no longer serves from eventlog
}

// reads returns what serves reads during the term.
func (t *term) reads() apiReads { return apiReads{t.server, t.store, t.events, t.eventlog, t.ended} }

// Done implements api.Log.
func (l apiReads) Done() <-chan struct{} { return l.ended }

// Admission implements api.Log.
func (l apiReads) Admission() api.Admission { return l.eventlog.Admission() }

// Channel implements api.Log.
func (l apiReads) Channel(name string) (api.Channel, error) {
	switch ch := l.eventlog.Channel(name); {
	case ch != nil && ch.Events() != nil:
		return apiChannel{ch, l}, nil
	case ch != nil, eventlog.ValidChannel(name) && l.events.Of(name) == nil:
		return nil, fmt.Errorf("channel %q: %w: name one, or declare it with -event_channels or in a block events", name, api.ErrNoEventChannel)
	case !eventlog.ValidChannel(name):
		return nil, fmt.Errorf("channel %q: %w", name, api.ErrInvalidChannel)
	}
	return nil, fmt.Errorf("channel %q: %w", name, api.ErrUnknownChannel)
}

// Channels implements api.Log.
func (l apiReads) Channels() []api.Channel {
	var channels []api.Channel
	for _, ch := range l.eventlog.Channels() {
		if ch.Events() != nil {
			channels = append(channels, apiChannel{ch, l})
		}
	}
	return channels
}

// ClusterID implements api.Log.
func (l apiReads) ClusterID() string { return l.opts.ClusterID }

// FillsStream implements api.Log.
func (l apiReads) FillsStream(name string) bool {
	return slices.ContainsFunc(l.opts.Routes, func(r config.Route) bool { return r.Stream != "" && r.Stream == name })
}

// Delivered implements api.Log.
func (l apiReads) Delivered(ctx context.Context, channel string, events []*eventstorev1.RecordedEvent, began time.Time) {
	if l.tracer != nil {
		l.tracer.Subscribed(channel, peer(ctx), events, began)
	}
}

// EventsWithID implements api.Log.
func (l apiReads) EventsWithID(ctx context.Context, id string) ([]stores.FoundEvent, error) {
	return l.store.EventsWithID(ctx, id)
}

// AggregatesWithID implements api.Log.
func (l apiReads) AggregatesWithID(ctx context.Context, id string) ([]stores.Aggregate, error) {
	return l.store.AggregatesWithID(ctx, id)
}

// AppenderOf implements api.Log.
func (l apiReads) AppenderOf(ctx context.Context, ch *stores.Channel, sequence uint64) (*stores.Appender, error) {
	if l.isDone() {
		return nil, api.ErrStandby
	}
	return l.store.AppenderOf(ctx, ch, sequence)
}

// ReadAggregate implements api.Log.
func (l apiReads) ReadAggregate(ctx context.Context, a stores.Aggregate, from uint64, backward bool, maxMsgs, maxBytes int) (messages []stores.Message, more bool, err error) {
	if l.isDone() {
		return nil, false, api.ErrStandby
	}
	return l.store.ReadAggregate(ctx, a, from, backward, maxMsgs, maxBytes)
}

func (l apiReads) isDone() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// apiChannel is an event channel as the API uses it.
type apiChannel struct {
	*eventlog.Channel
	log apiReads
}

// Strict implements api.Channel.
func (c apiChannel) Strict() bool { return c.Versions() == stores.VersionsStrict }

// Cursor implements api.Channel.
func (c apiChannel) Cursor(from uint64) api.Cursor { return apiCursor{c.Channel.Cursor(from), c.log} }

// apiCursor reads for as long as the term lasts.
type apiCursor struct {
	*eventlog.Cursor
	log apiReads
}

// ReadTo implements api.Cursor.
func (c apiCursor) ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error) {
	if c.log.isDone() {
		return nil, api.ErrStandby
	}
	return c.Cursor.ReadTo(ctx, to, max)
}
