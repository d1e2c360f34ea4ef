package api

import (
	"testing"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// The spaces that protojson adds depend on the build, so this does not fail with every build.
func TestJSONIsCompact(t *testing.T) {
	t.Parallel()
	b, err := jsonCodec{}.Marshal(&eventstorev1.Event{EventId: "1", EventType: "a b"})
	if want := `{"eventId":"1","eventType":"a b"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}
