package main

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const (
	eventBytes         = 512 // of the encoded event
	eventsPerAggregate = 10
)

// events counts all events of this run; an aggregate's are neighbours.
var events atomic.Int64

// newEvent makes the next event. Its identifier is a random UUID, as most
// applications have it: neighbours in time are none in the index.
func newEvent() *eventstorev1.Event {
	n := events.Add(1)
	e := &eventstorev1.Event{
		EventId:       uuid.NewString(),
		EventType:     "OrderCreated",
		AggregateId:   fmt.Sprintf("order-%d", n/eventsPerAggregate),
		AggregateType: "Order",
		EventData:     []byte(`{"customer":"C-1001","total":129.90,"currency":"EUR","note":""}`),
	}
	pad := eventBytes - proto.Size(e) - 1 // the longer length takes one byte more
	e.EventData = fmt.Appendf(nil, `{"customer":"C-1001","total":129.90,"currency":"EUR","note":"%s"}`, strings.Repeat("x", pad))
	return e
}

func newPayload() ([]byte, error) { return proto.Marshal(newEvent()) }

func init() { uuid.EnableRandPool() } // the publisher must not be what is measured
