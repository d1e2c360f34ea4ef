package tracing

import (
	"bytes"
	"time"

	"github.com/nats-io/stan.go/pb"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// parent returns the span that what becomes of a message follows: its publish if that was not long ago, else the one that its
// event names. It is invalid without any.
func (t *Tracer) parent(channel string, sequence uint64, origin func() proto.TraceContext) trace.SpanContext {
	if span := t.recent.of(position{channel, sequence}); span.IsValid() {
		return span
	}
	return parentOf(origin())
}

// Delivered records that a message was sent to a subscription. A message without a trace has no span.
func (t *Tracer) Delivered(d consumers.Delivery) {
	name := d.Channel.Name()
	parent := t.parent(name, d.Message.Sequence, func() proto.TraceContext {
		if d.Channel.Events() == nil || !bytes.Contains(d.Message.Data, []byte("traceparent")) {
			return proto.TraceContext{}
		}
		var msg pb.MsgProto
		if msg.Unmarshal(d.Message.Data) != nil {
			return proto.TraceContext{}
		}
		event, err := d.Channel.Mapping().Extract(msg.Data)
		if err != nil {
			return proto.TraceContext{} // stored before its channel became an event channel
		}
		return event.TraceContext()
	})
	var more []attribute.KeyValue
	if d.Durable != "" {
		more = append(more, named(semconv.MessagingDestinationSubscriptionNameKey, d.Durable))
	}
	if d.Queue != "" {
		more = append(more, named(semconv.MessagingConsumerGroupNameKey, d.Queue))
	}
	if d.Redeliveries > 0 {
		more = append(more, countKey.Int64(int64(d.Redeliveries)))
	}
	t.delivered(parent, name, d.Message.Sequence, d.Client, d.Began, more...)
}

// Subscribed records that events were sent to a subscriber of the API.
func (t *Tracer) Subscribed(channel, client string, events []*eventstorev1.RecordedEvent, began time.Time) {
	for _, e := range events {
		metadata := e.GetEvent().GetMetadata()
		parent := t.parent(channel, e.GetSequence(), func() proto.TraceContext {
			return proto.NewTraceContext(metadata["traceparent"], metadata["tracestate"])
		})
		t.delivered(parent, channel, e.GetSequence(), client, began)
	}
}

func (t *Tracer) delivered(parent trace.SpanContext, channel string, sequence uint64, client string, began time.Time, more ...attribute.KeyValue) {
	if !parent.IsValid() {
		return
	}
	span := t.start(parent, "deliver "+printable.Line(channel), trace.SpanKindProducer, began)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(append(more,
		semconv.MessagingSystemKey.String(System), semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("deliver"),
		named(semconv.MessagingDestinationNameKey, channel), named(semconv.MessagingClientIDKey, client), sequenceKey.Int64(int64(sequence)),
	)...)
	span.End()
}
