package client

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// seen records the calls that an interceptor sees, with their headers.
type seen struct {
	mu    sync.Mutex
	calls map[string]http.Header
}

func (s *seen) add(procedure string, header http.Header) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = map[string]http.Header{}
	}
	s.calls[procedure] = header
}

func (s *seen) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		s.add(request.Spec().Procedure, request.Header())
		return next(ctx, request)
	}
}

func (s *seen) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		s.add(spec.Procedure, conn.RequestHeader())
		return conn
	}
}

func (s *seen) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// TestOptions: interceptors see each call with its headers, through an http.Client of one's own too, here one of HTTP/1.1.
func TestOptions(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1", "-grpc_token", "secret"), t, "sqlite", ""}
	for name, own := range map[string]*http.Client{"library's": nil, "own": {Transport: &http.Transport{}}} {
		calls := &seen{}
		c, err := eventstore.New(eventstore.Options{
			URLs: []string{s.api()}, HTTPClient: own, Token: "secret", UserAgent: "billing/1.4", Interceptors: []connect.Interceptor{calls},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{ID: name, Type: "A", AggregateID: "a"}}); err != nil {
			t.Fatal(err)
		}
		if events, err := c.Load(patient(t), channel, "", "a", 1); err != nil || len(events) == 0 {
			t.Errorf("%s client: %d events, error %v", name, len(events), err)
		}
		stop := errors.New("stop")
		err = c.Source(channel, eventstore.Filter{}).Receive(patient(t), 0, func(eventstore.Batch) error { return stop })
		if !errors.Is(err, stop) {
			t.Errorf("%s client: %v", name, err)
		}
		for _, method := range []string{"Append", "ReadAggregate", "Subscribe"} {
			header := calls.calls["/eventstore.v1.EventStore/"+method]
			if header.Get("User-Agent") != "billing/1.4" || header.Get("Authorization") != "Bearer secret" {
				t.Errorf("%s client: %s has headers %v", name, method, header)
			}
		}
		c.Close()
	}
}
