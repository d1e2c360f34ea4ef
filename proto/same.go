package proto

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// SameEvent reports whether two payloads are the same event: all fields are equal,
// including unknown ones. The order of fields, map entries and tags does not matter. An
// event_version of 0, which the server assigns, matches any other. The trace context in
// the metadata does not matter: who publishes an event again does so in another span. A
// payload that does not decode is the same event only as an identical payload.
func SameEvent(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y eventstorev1.Event
	if proto.Unmarshal(a, &x) != nil || proto.Unmarshal(b, &y) != nil {
		return false
	}
	if x.GetEventVersion() == 0 || y.GetEventVersion() == 0 {
		x.EventVersion, y.EventVersion = 0, 0
	}
	for _, e := range []*eventstorev1.Event{&x, &y} {
		slices.Sort(e.Tags)
		e.Tags = slices.Compact(e.Tags)
		delete(e.Metadata, traceParent)
		delete(e.Metadata, traceState)
	}
	return proto.Equal(&x, &y)
}
