package docs

import (
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestREADME publishes the event of README.md.
func TestREADME(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "sqlite", databases.SQLite(t))
	sc, err := stan.Connect("test-cluster", "shop", stan.NatsURL(s.URL()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sc.Close(); err != nil {
			t.Error(err)
		}
	})
	payload, err := proto.Marshal(&eventstorev1.Event{
		EventId:       uuid.NewString(), // makes publishing idempotent
		EventType:     "OrderCreated",   // required
		AggregateId:   "order-4711",     // required
		AggregateType: "order",
		EventVersion:  1,                           // must be the order's first event; 0: the server assigns the version
		EventData:     []byte(`{"customer":"c1"}`), // JSON is stored as queryable JSON, anything else as base64
	})
	if err != nil {
		t.Fatal(err)
	}
	err = sc.Publish("eventstore.orders", payload) // nil means that the event is committed
	if err != nil {
		t.Fatal(err)
	}
}
