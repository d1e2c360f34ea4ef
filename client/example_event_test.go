package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// A key is there whether or not the publisher gave the event an ID.
func ExampleEvent_Key() {
	fmt.Println((&eventstore.Event{ID: "order-1/placed", Channel: "eventstore.orders", Sequence: 41}).Key())
	fmt.Println((&eventstore.Event{Channel: "eventstore.orders", Sequence: 42}).Key())
	// Output:
	// order-1/placed
	// eventstore.orders/42
}

// An old event, with all items of an order, stands for one event for each item.
func ExampleUpcastMany() {
	type OrderShipped struct{ Items []string }
	type ItemShipped struct{ Item string }
	registry := eventstore.NewRegistry()
	eventstore.Register[OrderShipped](registry, "OrderShipped")
	eventstore.Register[ItemShipped](registry, "ItemShipped")
	eventstore.UpcastMany(registry, func(old OrderShipped) ([]any, error) {
		var items []any
		for _, it := range old.Items {
			items = append(items, ItemShipped{it})
		}
		return items, nil
	})
	old := &eventstore.Event{ID: "shipped-7", Type: "OrderShipped", Payload: []byte(`{"Items":["tea","cup"]}`)}
	events, err := registry.Expand(old)
	for _, e := range events {
		fmt.Println(e.Key(), e.Data)
	}
	fmt.Println(err)
	// Output:
	// shipped-7 {tea}
	// shipped-7#2 {cup}
	// <nil>
}

// A program that is older than an event says so, instead of misreading it.
func ExampleSchemaVersion() {
	type OrderPlaced struct{ Cents int64 }
	options := []eventstore.RegisterOption{eventstore.SchemaVersion(2)}
	registry := eventstore.NewRegistry()
	eventstore.Register[OrderPlaced](registry, "OrderPlaced", options...)
	event, err := registry.New("Order", "order-1", OrderPlaced{Cents: 900})
	fmt.Println(event.Type, event.Metadata, err)

	newer := &eventstore.Event{Type: "OrderPlaced", Metadata: map[string]string{eventstore.MetadataSchemaVersion: "3"}}
	_, err = registry.Expand(newer)
	fmt.Println(errors.Is(err, eventstore.ErrUnknownType))
	// Output:
	// OrderPlaced map[schema_version:2] <nil>
	// true
}

// Parcel tells which tags its events have.
type Parcel struct{ Number, Customer string }

// Tags implements eventstore.Tagged.
func (p Parcel) Tags() []string { return []string{"customer:" + p.Customer} }

var _ eventstore.Tagged = Parcel{}

// Data may say what its event concerns beside the aggregate.
func ExampleTagged() {
	registry := eventstore.NewRegistry()
	eventstore.Register[Parcel](registry, "ParcelSent")
	event, err := registry.New("Parcel", "p-1", Parcel{"p-1", "c-9"})
	fmt.Println(event.Tags, err)
	// Output: [customer:c-9] <nil>
}

// What a handler appends tells which event led to it. Reactors and consumers make such a context by themselves.
func ExampleWithCause() {
	placed := &eventstore.Event{ID: "placed-1", Metadata: map[string]string{eventstore.MetadataCorrelationID: "request-9422"}}
	ctx := eventstore.WithCause(context.Background(), placed)
	fmt.Println(eventstore.CorrelationID(ctx)) // and causation_id is placed-1
	// Output: request-9422
}

// Programs that call the API by themselves use the library's events, too.
func ExampleFromRecorded() {
	recorded := &eventstorev1.RecordedEvent{Channel: "eventstore.orders", Sequence: 3, Event: &eventstorev1.Event{EventType: "OrderPlaced", AggregateId: "order-1"}}
	event := eventstore.FromRecorded(recorded)
	fmt.Println(event.Type, event.AggregateID, event.Key())
	// Output: OrderPlaced order-1 eventstore.orders/3
}

// New tells what is wrong with a URL.
func ExampleNew() {
	_, err := eventstore.New(eventstore.Options{URLs: []string{"nats://localhost:4222"}})
	fmt.Println(strings.Contains(err.Error(), "name the API"))
	client, err := eventstore.New(eventstore.Options{
		URLs:      []string{"http://127.0.0.1:4280", "http://127.0.0.2:4280"}, // each server of the group
		Token:     "secret",
		UserAgent: "billing/1.4",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	// Output: true
}
