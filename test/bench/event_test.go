package main

import (
	"testing"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func TestEventsHaveTheSizeOfTheReport(t *testing.T) {
	for _, size := range []int{leastEventBytes, 256, 512, 1024, 16384} {
		var buffer []byte
		seen := map[string]bool{}
		for range 3 {
			buffer = templateOf(size).next(buffer)
			if len(buffer) != size {
				t.Errorf("event of %d bytes, want %d", len(buffer), size)
			}
			var e eventstorev1.Event
			if err := proto.Unmarshal(buffer, &e); err != nil {
				t.Fatal(err)
			}
			if err := uuid.Validate(e.EventId); err != nil || seen[e.EventId] {
				t.Errorf("event_id %q: %v", e.EventId, err)
			}
			seen[e.EventId] = true
			if id, aggregate := templateOf(size).ids(buffer); id != e.EventId || aggregate != e.AggregateId {
				t.Errorf("identifiers %q and %q, want %q and %q", id, aggregate, e.EventId, e.AggregateId)
			}
		}
	}
}
