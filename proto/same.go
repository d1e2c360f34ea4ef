package proto

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// SameEvent reports whether two payloads are the same event: equal in every
// field, those unknown to this server included, whatever the order of fields and
// of map entries. An event_version that one of them leaves to the server (0)
// matches any. A payload that does not decode is the same only as its equal bytes.
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
	return proto.Equal(&x, &y)
}
