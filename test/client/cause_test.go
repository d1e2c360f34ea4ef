package client

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// chain stores an event, which a reactor and a consumer answer with one each, and returns all three by type.
func chain(ctx context.Context, t *testing.T, s *server, provider trace.TracerProvider) map[string]*eventstore.Event {
	t.Helper()
	c, err := eventstore.New(eventstore.Options{URLs: []string{s.api()}, TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	begin := eventstore.NewEvent{ID: "placed", Type: "Placed", AggregateID: "o", Metadata: map[string]string{"user": "ada"}}
	if _, err := c.Append(ctx, channel, []eventstore.NewEvent{begin}); err != nil {
		t.Fatal(err)
	}
	done := errors.New("done")
	answer := func(to, with string, done func()) func(context.Context, *eventstore.Event) error {
		return func(ctx context.Context, e *eventstore.Event) error {
			if e.Type != to {
				return nil
			}
			if want := "request-1"; eventstore.CorrelationID(ctx) != want {
				t.Errorf("handling %s: correlation %q, want %q", to, eventstore.CorrelationID(ctx), want)
			}
			_, err := c.Append(ctx, channel, []eventstore.NewEvent{{ID: with, Type: with, AggregateID: "o"}})
			done()
			return err
		}
	}
	db, dialect := s.readModel()
	running, stop := context.WithCancelCause(patient(t))
	reactor := eventstore.Reactor{
		Name: "billing", DB: db, Dialect: dialect, TracerProvider: provider, Handle: answer("Placed", "billed", func() { stop(done) }),
	}
	if err := reactor.Run(running, c.Source(channel, eventstore.Filter{})); !errors.Is(err, done) {
		t.Fatal(err)
	}
	running, stop = context.WithCancelCause(patient(t))
	consumer := eventstore.Consumer{
		Client: c, Channel: channel, ClientID: "shipper-1", Durable: "shipping", Handle: answer("billed", "shipped", func() { stop(done) }),
	}
	if err := consumer.Run(running); !errors.Is(err, done) {
		t.Fatal(err)
	}
	events := map[string]*eventstore.Event{}
	for _, id := range []string{"placed", "billed", "shipped"} {
		if events[id], err = c.Get(patient(t), channel, id); err != nil {
			t.Fatal(err)
		}
	}
	return events
}

// TestCause: what a reactor or a consumer appends tells which event led to it, and which request to all of it.
func TestCause(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	events := chain(eventstore.WithCorrelation(patient(t), "request-1"), t, s, nil)
	for id, want := range map[string]map[string]string{
		"placed":  {"user": "ada", "correlation_id": "request-1"},
		"billed":  {"correlation_id": "request-1", "causation_id": "placed"},
		"shipped": {"correlation_id": "request-1", "causation_id": "billed"},
	} {
		if got := events[id].Metadata; !maps.Equal(got, want) {
			t.Errorf("%s has metadata %v, want %v", id, got, want)
		}
	}
}

// TestCorrelationOfHandler: a handler that names another correlation, or an empty one, does not hide which event led to what it appends.
func TestCorrelationOfHandler(t *testing.T) {
	t.Parallel()
	c := onSQLite(t).client()
	handling := eventstore.WithCause(patient(t), &eventstore.Event{ID: "placed"})
	for id, want := range map[string]string{"": "placed", "order-1": "order-1"} {
		event := []eventstore.NewEvent{{ID: "by" + id, Type: "Billed", AggregateID: "o"}}
		if _, err := c.Append(eventstore.WithCorrelation(handling, id), channel, event); err != nil {
			t.Fatal(err)
		}
		e, err := c.Get(patient(t), channel, "by"+id)
		if err != nil || e.Metadata["correlation_id"] != want || e.Metadata["causation_id"] != "placed" {
			t.Errorf("correlation %q: %+v, error %v", id, e, err)
		}
	}
}

// TestTrace: one trace has the calls and the handling of a chain of events. An event that is appended again, in another span, is the same.
func TestTrace(t *testing.T) {
	t.Parallel()
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	ctx, root := provider.Tracer("test").Start(eventstore.WithCorrelation(patient(t), "request-1"), "request")
	events := chain(ctx, t, s, provider)
	root.End()

	const appends = "eventstore.v1.EventStore/Append"
	of := map[string]sdk.ReadOnlySpan{}
	for _, span := range recorder.Ended() {
		if span.SpanContext().TraceID() != root.SpanContext().TraceID() {
			continue // the test's own calls
		}
		key := span.Name()
		if key == appends {
			for _, parent := range recorder.Ended() {
				if parent.SpanContext().SpanID() == span.Parent().SpanID() {
					key += " in " + parent.Name()
				}
			}
		}
		if i := slices.IndexFunc(span.Attributes(), func(a attribute.KeyValue) bool { return a.Key == "messaging.consumer.group.name" }); i >= 0 {
			key += " by " + span.Attributes()[i].Value.AsString()
		}
		of[key] = span
	}
	for name, parent := range map[string]string{
		"request":                      "",
		appends + " in request":        "request",
		"process Placed by billing":    "request",
		appends + " in process Placed": "process Placed by billing",
		"process billed by shipping":   "process Placed by billing",
		appends + " in process billed": "process billed by shipping",
	} {
		span := of[name]
		if span == nil {
			t.Errorf("no span %q in %v", name, slices.Collect(maps.Keys(of)))
			continue
		}
		if parent != "" && of[parent] != nil && span.Parent().SpanID() != of[parent].SpanContext().SpanID() {
			t.Errorf("%s is not a child of %s", name, parent)
		}
	}
	if want := "00-" + root.SpanContext().TraceID().String() + "-" + root.SpanContext().SpanID().String() + "-01"; events["placed"].Metadata["traceparent"] != want {
		t.Errorf("traceparent %q, want %q", events["placed"].Metadata["traceparent"], want)
	}

	again := eventstore.NewEvent{ID: "placed", Type: "Placed", AggregateID: "o", Metadata: map[string]string{"user": "ada"}}
	positions, err := s.client().Append(eventstore.WithCorrelation(patient(t), "request-1"), channel, []eventstore.NewEvent{again})
	if err != nil || positions[0].Sequence != 1 {
		t.Errorf("the same event without a span: %v, error %v", positions, err)
	}
}
