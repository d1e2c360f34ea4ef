package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/server/api"
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
			return apiLog{t.reads(), t}
		}
		if v := s.view.Load(); v != nil {
			return v
		}
		return nil
	}
	options := s.opts.APIOptions()
	if lacks := s.opts.APILacks(); lacks != "" {
		s.log.Warn("The API can be reached from other machines without " + lacks + " (grpc_insecure)")
	}
	runConsole := s.newConsole(&options)
	s.api, err = api.Listen(options, s.rights.Policy(), log, s.monitor.Metrics(), s.log)
	if err != nil {
		return nil, nil, err
	}
	s.monitor.Metrics().Certificate("api", s.api.Encryption())
	ctx, cancel := context.WithCancel(ctx)
	stopConsole := background(ctx, runConsole)
	failed := make(chan error, 1)
	go func() {
		defer cancel()
		failed <- s.api.Run()
	}()
	return ctx, func() error {
		stopConsole() // ends what its pages show live
		s.api.Stop()
		return <-failed
	}, nil
}

// apiLog is the event log as the API uses it: that of a term, until the term ends.
type apiLog struct {
	apiReads
	term *term
}

var _ api.Log = apiLog{}

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
		l.term.failed(err)
		return nil, l.error(err)
	}
	return apiChannel{opened, l.apiReads}, nil
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

// Append implements api.Log.
func (l apiLog) Append(ctx context.Context, by stores.Appender, events []api.Encoded, as *stores.Group) ([]stores.Result, error) {
	messages := make([]eventlog.Message, len(events))
	for i := range events {
		ch := events[i].To.(apiChannel).Channel
		if ch.Mapping() != nil {
			return nil, fmt.Errorf("channel %q: %w of eventstore.v1.Event: its messages are %s, which NATS Streaming clients publish", ch.Name(), api.ErrNoEventChannel, ch.Events().Format())
		}
		messages[i] = eventlog.Message{Channel: ch.Name(), Payload: events[i].Payload, Event: &events[i].Event, DataTo: events[i].DataTo}
		l.monitor.Metrics().PublishReceived(len(events[i].Payload))
	}
	if err := l.eventlog.Check(ctx, as.Conditions); err != nil {
		return nil, err
	}
	answered := make(chan []stores.Result, 1)
	received := time.Now()
	release := api.Retain(ctx)
	var recorded *stores.Appender
	if l.opts.RecordAppenders {
		recorded = &by
	}
	l.eventlog.Submit(eventlog.Submission{
		Channel:  messages[0].Channel,
		From:     peer(ctx),
		Received: received,
		Trace:    l.trace(ctx, messages[0].Channel, received),
		Decode:   func(*eventlog.Channel) ([]eventlog.Message, error) { return messages, nil },
		Group:    as,
		By:       recorded,
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
