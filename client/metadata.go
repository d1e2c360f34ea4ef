package eventstore

import (
	"context"
	"maps"
	"slices"
)

// Keys of W3C Trace Context.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// addMetadata adds the entries whose keys the event does not have. The schema version is the event's own affair: metadata
// that is copied from another event must not change it.
func (e *NewEvent) addMetadata(metadata map[string]string) {
	merged := maps.Clone(metadata) // the map may be the caller's
	delete(merged, MetadataSchemaVersion)
	if _, traced := e.Metadata[traceParent]; traced {
		delete(merged, traceState) // it belongs to the other traceparent
	}
	if len(merged) == 0 {
		return
	}
	maps.Copy(merged, e.Metadata)
	e.Metadata = merged
}

// withContext returns the events with the metadata that the context gives to them.
func withContext(ctx context.Context, events []NewEvent) []NewEvent {
	metadata := fromContext(ctx)
	if len(metadata) == 0 {
		return events
	}
	events = slices.Clone(events)
	for i := range events {
		events[i].addMetadata(metadata)
	}
	return events
}
