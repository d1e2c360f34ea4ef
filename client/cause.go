package eventstore

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Keys of metadata that tell why an event was stored. Append sets them from its context.
const (
	// MetadataCorrelationID names everything that one request, or one first event, led to.
	MetadataCorrelationID = "correlation_id"
	// MetadataCausationID is the Key of the event that led to this one directly.
	MetadataCausationID = "causation_id"
)

// cause is why events are stored with a context.
type cause struct {
	correlation string
	event       *Event // nil at the beginning
}

type causeKey struct{}

func causeOf(ctx context.Context) cause {
	c, _ := ctx.Value(causeKey{}).(cause)
	return c
}

// WithCorrelation returns a context whose appends store events with this MetadataCorrelationID: that of the request, for
// instance. The event that led to them (WithCause) stays the same. An empty ID changes nothing.
func WithCorrelation(ctx context.Context, id string) context.Context {
	if id == "" {
		return ctx
	}
	return context.WithValue(ctx, causeKey{}, cause{id, causeOf(ctx).event})
}

// WithCause returns a context whose appends store events that an event led to: their MetadataCausationID is its Key, and
// their MetadataCorrelationID that of the event or, if it has none, its Key. Reactor and Consumer call Handle with such a
// context.
func WithCause(ctx context.Context, event *Event) context.Context {
	correlation := event.Metadata[MetadataCorrelationID]
	if correlation == "" {
		correlation = event.Key()
	}
	return context.WithValue(ctx, causeKey{}, cause{correlation, event})
}

// CorrelationID returns the MetadataCorrelationID that appends with a context store, "" for none: for logs, and for calls of
// other services.
func CorrelationID(ctx context.Context) string { return causeOf(ctx).correlation }

// fromContext returns the metadata that a context gives to events: their correlation and cause, and the span that is active.
func fromContext(ctx context.Context) map[string]string {
	metadata := map[string]string{}
	propagation.TraceContext{}.Inject(ctx, propagation.MapCarrier(metadata))
	c := causeOf(ctx)
	if c.correlation != "" {
		metadata[MetadataCorrelationID] = c.correlation
	}
	if c.event != nil {
		metadata[MetadataCausationID] = c.event.Key()
	}
	return metadata
}
