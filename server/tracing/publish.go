package tracing

import (
	"context"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// System is messaging.system of channels.
const System = "nats_streaming"

// The attributes that the conventions of OpenTelemetry have no name for.
const (
	sequenceKey  = attribute.Key("nats_streaming.sequence")
	duplicateKey = attribute.Key("nats_streaming.duplicate")
	countKey     = attribute.Key("nats_streaming.redelivery_count")
	typeKey      = attribute.Key("nats_streaming.event_type")
)

// publish is the trace of a submission.
type publish struct {
	t         *Tracer
	operation string // "publish" or "append"
	channel   string
	client    string
	id        string // of the request; may be empty
	received  time.Time
	parent    trace.SpanContext // of the request; mostly invalid
	span      trace.Span        // nil before the messages are decoded
}

var _ eventlog.Trace = (*publish)(nil)

// Publish begins the trace of a message of a NATS Streaming client.
func (t *Tracer) Publish(channel, client, guid string, received time.Time) eventlog.Trace {
	return &publish{t: t, operation: "publish", channel: channel, client: client, id: guid, received: received}
}

// Append begins the trace of a request of the API, which may name its parent in the header.
func (t *Tracer) Append(channel, client string, header http.Header, received time.Time) eventlog.Trace {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(header))
	return &publish{
		t: t, operation: "append", channel: channel, client: client, received: received, parent: trace.SpanContextFromContext(ctx),
	}
}

// Decoded implements eventlog.Trace. Without a parent in the request, the first event that names one has it. The others are
// linked.
func (p *publish) Decoded(messages []eventlog.Message) bool {
	attributes := []attribute.KeyValue{
		semconv.MessagingSystemKey.String(System), semconv.MessagingOperationTypeSend, semconv.MessagingOperationName(p.operation),
		named(semconv.MessagingDestinationNameKey, p.channel), named(semconv.MessagingClientIDKey, p.client),
	}
	var links []trace.Link
	size := 0
	for i := range messages {
		size += len(messages[i].Payload)
		event := messages[i].Event
		if event == nil {
			continue
		}
		switch origin := parentOf(event.TraceContext()); {
		case !origin.IsValid() || origin.Equal(p.parent):
		case !p.parent.IsValid():
			p.parent = origin
		default:
			links = append(links, trace.Link{SpanContext: origin})
		}
		if len(messages) == 1 {
			p.id = event.ID
			attributes = append(attributes, named(typeKey, event.Type))
		}
	}
	if p.id != "" {
		attributes = append(attributes, named(semconv.MessagingMessageIDKey, p.id))
	}
	if len(messages) > 1 {
		attributes = append(attributes, semconv.MessagingBatchMessageCount(len(messages)))
	}
	attributes = append(attributes, semconv.MessagingMessageBodySize(size))
	p.begin(trace.WithAttributes(attributes...), trace.WithLinks(links...))
	return p.span.IsRecording()
}

func (p *publish) begin(options ...trace.SpanStartOption) {
	p.span = p.t.start(p.parent, p.operation+" "+printable.Line(p.channel), trace.SpanKindServer, p.received, options...)
}

// Stored implements eventlog.Trace.
func (p *publish) Stored(channel string, sequence uint64) {
	p.t.recent.add(position{channel, sequence}, p.span.SpanContext())
}

// Answered implements eventlog.Trace.
func (p *publish) Answered(results []stores.Result) {
	if p.span == nil { // refused before it was decoded
		p.begin(trace.WithAttributes(semconv.MessagingSystemKey.String(System), named(semconv.MessagingDestinationNameKey, p.channel),
			named(semconv.MessagingClientIDKey, p.client)))
	}
	first := &results[0]
	switch {
	case first.Err != nil:
		fail(p.span, first.Err)
	default:
		p.span.SetAttributes(sequenceKey.Int64(int64(first.Sequence)))
		if first.Duplicate {
			p.span.SetAttributes(duplicateKey.Bool(true))
		}
	}
	p.span.End()
}

// Committed records the commit of a batch that holds sampled submissions: as a trace that links to them, and as two spans of
// each of them, for its wait and for its commit.
func (t *Tracer) Committed(traces []eventlog.Trace, b eventlog.Batch) {
	links := make([]trace.Link, len(traces))
	for i, one := range traces {
		links[i].SpanContext = one.(*publish).span.SpanContext()
	}
	database := trace.WithAttributes(t.database, semconv.DBCollectionName("Messages"), semconv.DBOperationName("INSERT"),
		semconv.DBOperationBatchSize(b.Messages))
	batch := t.start(trace.SpanContext{}, "commit batch", trace.SpanKindClient, b.Began, database, trace.WithLinks(links...))
	finish := func(span trace.Span) {
		if b.Err != nil {
			fail(span, b.Err)
		}
		span.End(trace.WithTimestamp(b.Ended))
	}
	toBatch := trace.WithLinks(trace.Link{SpanContext: batch.SpanContext()})
	for i, one := range traces {
		parent := links[i].SpanContext
		t.start(parent, "queue", trace.SpanKindInternal, one.(*publish).received).End(trace.WithTimestamp(b.Began))
		finish(t.start(parent, "commit", trace.SpanKindClient, b.Began, database, toBatch))
	}
	finish(batch)
}
