package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/api"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// serveAPI serves the API, if it is to be, until stop is called. The context that it returns ends, too, if that fails, which
// is stop's error then.
func (s *server) serveAPI(ctx context.Context) (served context.Context, stop func() error, err error) {
	if s.opts.API.Port == 0 {
		return ctx, func() error { return nil }, nil
	}
	log := func() api.Log {
		if t := s.active.Load(); t != nil {
			return apiLog{t}
		}
		return nil
	}
	options := s.opts.APIOptions()
	if lacks := s.opts.APILacks(); lacks != "" {
		s.log.Warn("The API can be reached from other machines without " + lacks + " (grpc_insecure)")
	}
	s.api, err = api.Listen(options, s.rights.Policy(), log, s.monitor.Metrics(), s.log)
	if err != nil {
		return nil, nil, err
	}
	s.monitor.Metrics().Certificate("api", s.api.Encryption())
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() {
		defer cancel()
		failed <- s.api.Run()
	}()
	return ctx, func() error {
		s.api.Stop()
		return <-failed
	}, nil
}

// apiLog is the event log as the API uses it: that of a term, until the term ends.
type apiLog struct{ *term }

var _ api.Log = apiLog{}

// Done implements api.Log.
func (l apiLog) Done() <-chan struct{} { return l.ended }

// Admission implements api.Log.
func (l apiLog) Admission() api.Admission { return l.eventlog.Admission() }

// Channel implements api.Log.
func (l apiLog) Channel(name string) (api.Channel, error) {
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

// Open implements api.Log.
func (l apiLog) Open(ctx context.Context, name string) (api.Channel, error) {
	ch, err := l.Channel(name)
	if !errors.Is(err, api.ErrUnknownChannel) {
		return ch, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.opts.StoreTimeout)
	defer cancel()
	opened, err := l.eventlog.Open(ctx, peer(ctx), name)
	if err != nil {
		l.failed(err)
		return nil, l.error(err)
	}
	return apiChannel{opened, l}, nil
}

// error makes what the event log refuses an error of package api.
func (l apiLog) error(err error) error {
	var refused eventlog.Refusal
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("%w: %w", api.ErrChannelRefused, err)
	case errors.Is(err, eventlog.ErrStopped):
		return fmt.Errorf("%w: %w", api.ErrStandby, err)
	}
	return err
}

// Channels implements api.Log.
func (l apiLog) Channels() []api.Channel {
	var channels []api.Channel
	for _, ch := range l.eventlog.Channels() {
		if ch.Events() != nil {
			channels = append(channels, apiChannel{ch, l})
		}
	}
	return channels
}

// FillsStream implements api.Log.
func (l apiLog) FillsStream(name string) bool {
	return slices.ContainsFunc(l.opts.Routes, func(r config.Route) bool { return r.Stream != "" && r.Stream == name })
}

// Append implements api.Log.
func (l apiLog) Append(ctx context.Context, events []api.Encoded, as *stores.Group) ([]stores.Result, error) {
	messages := make([]eventlog.Message, len(events))
	for i := range events {
		ch := events[i].To.(apiChannel).Channel
		if ch.Mapping() != nil {
			return nil, fmt.Errorf("channel %q: %w of eventstore.v1.Event: its messages are %s, which NATS Streaming clients publish", ch.Name(), api.ErrNoEventChannel, ch.Events().Format())
		}
		messages[i] = eventlog.Message{Channel: ch.Name(), Payload: events[i].Payload, Event: &events[i].Event, DataTo: events[i].DataTo}
		l.monitor.Metrics().PublishReceived(len(events[i].Payload))
	}
	answered := make(chan []stores.Result, 1)
	received := time.Now()
	release := api.Retain(ctx)
	l.eventlog.Submit(eventlog.Submission{
		Channel:  messages[0].Channel,
		From:     peer(ctx),
		Received: received,
		Trace:    l.trace(ctx, messages[0].Channel, received),
		Decode:   func(*eventlog.Channel) ([]eventlog.Message, error) { return messages, nil },
		Group:    as,
		Answer: func(results []stores.Result) {
			release()
			answered <- results
		},
	})
	select {
	case results := <-answered:
		for i := range results {
			if results[i].Err != nil { // then all have it
				return nil, l.error(results[i].Err)
			}
		}
		return results, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: the events may be stored or not", ctx.Err())
	}
}

// trace begins the trace of a request, if there are to be traces.
func (l apiLog) trace(ctx context.Context, channel string, received time.Time) eventlog.Trace {
	if l.tracer == nil {
		return nil
	}
	var header http.Header
	if call, ok := connect.CallInfoForHandlerContext(ctx); ok {
		header = call.RequestHeader()
	}
	return l.tracer.Append(channel, peer(ctx), header, received)
}

// Delivered implements api.Log.
func (l apiLog) Delivered(ctx context.Context, channel string, events []*eventstorev1.RecordedEvent, began time.Time) {
	if l.tracer != nil {
		l.tracer.Subscribed(channel, peer(ctx), events, began)
	}
}

// peer names the client of a request, among whom the log is fair: its host.
func peer(ctx context.Context) string {
	call, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(call.Peer().Addr)
	if err != nil {
		return call.Peer().Addr
	}
	return host
}

// EventsWithID implements api.Log.
func (l apiLog) EventsWithID(ctx context.Context, id string) ([]stores.FoundEvent, error) {
	return l.store.EventsWithID(ctx, id)
}

// AggregatesWithID implements api.Log.
func (l apiLog) AggregatesWithID(ctx context.Context, id string) ([]stores.Aggregate, error) {
	return l.store.AggregatesWithID(ctx, id)
}

// ReadAggregate implements api.Log.
func (l apiLog) ReadAggregate(ctx context.Context, a stores.Aggregate, from uint64, backward bool, maxMsgs, maxBytes int) ([]stores.Message, error) {
	if l.isDone() {
		return nil, api.ErrStandby
	}
	return l.store.ReadAggregate(ctx, a, from, backward, maxMsgs, maxBytes)
}

func (l apiLog) isDone() bool {
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
	log apiLog
}

// Strict implements api.Channel.
func (c apiChannel) Strict() bool { return c.Versions() == stores.VersionsStrict }

// Cursor implements api.Channel.
func (c apiChannel) Cursor(from uint64) api.Cursor { return apiCursor{c.Channel.Cursor(from), c.log} }

// apiCursor reads for as long as the term lasts.
type apiCursor struct {
	*eventlog.Cursor
	log apiLog
}

// ReadTo implements api.Cursor.
func (c apiCursor) ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error) {
	if c.log.isDone() {
		return nil, api.ErrStandby
	}
	return c.Cursor.ReadTo(ctx, to, max)
}

// HoldsEvents implements api.Log.
func (l apiLog) HoldsEvents(pattern string) bool {
	if eventlog.ValidChannel(pattern) {
		return l.events.Of(pattern) != nil
	}
	return slices.ContainsFunc(l.events.Patterns(), func(p string) bool { return eventlog.Overlap(p, pattern) })
}

// EventCursor implements api.Log.
func (l apiLog) EventCursor(q stores.Query, from uint64) (api.EventCursor, error) {
	cursor, err := l.eventlog.EventCursor(q, from)
	if err != nil {
		return nil, err
	}
	return apiEventCursor{cursor, apiEventReader{cursor, l}}, nil
}

// BackwardCursor implements api.Log.
func (l apiLog) BackwardCursor(q stores.Query, from uint64) (api.EventReader, error) {
	cursor, err := l.eventlog.BackwardCursor(q, from)
	if err != nil {
		return nil, err
	}
	return apiEventReader{cursor, l}, nil
}

// Position implements api.Log.
func (l apiLog) Position() uint64 { return l.eventlog.Position() }

// PositionAt implements api.Log.
func (l apiLog) PositionAt(ctx context.Context, ns int64) (uint64, error) {
	return l.eventlog.PositionAt(ctx, ns)
}

// apiEventReader reads for as long as the term lasts.
type apiEventReader struct {
	api.EventReader
	log apiLog
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
