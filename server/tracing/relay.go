package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// Relay begins the span of an event on its way to a stream. It returns the trace that the message names, and what ends the span.
// Both are those of the event if it has no sampled trace.
func (t *Tracer) Relay(channel string, sequence uint64, origin proto.TraceContext, stream, subject, id string) (proto.TraceContext, func(error)) {
	parent := t.parent(channel, sequence, func() proto.TraceContext { return origin })
	if !parent.IsValid() {
		return origin, func(error) {}
	}
	span := t.start(parent, "relay "+printable.Line(stream), trace.SpanKindProducer, time.Now())
	if !span.IsRecording() {
		return origin, func(error) {}
	}
	span.SetAttributes(
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("relay"),
		named(semconv.MessagingDestinationNameKey, subject), named(semconv.MessagingMessageIDKey, id), sequenceKey.Int64(int64(sequence)),
	)
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), span), carrier)
	return proto.TraceContext{Parent: carrier["traceparent"], State: carrier["tracestate"]}, func(err error) {
		if err != nil {
			fail(span, err)
		}
		span.End()
	}
}
