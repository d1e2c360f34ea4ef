package eventstore_test

import (
	"fmt"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// A fold that says that something was erased.
func ExampleRegistry_KeepErased() {
	type CustomerNamed struct{ Name string }
	registry := eventstore.NewRegistry()
	eventstore.Register[CustomerNamed](registry, "CustomerNamed")
	registry.KeepErased()
	name := ""
	for _, event := range []*eventstore.Event{
		{Type: "CustomerNamed", Version: 1, Payload: []byte(`{"Name": "Ada"}`)},
		{Type: "CustomerNamed", Version: 2, Erased: 7},
	} {
		expanded, err := registry.Expand(event)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, e := range expanded {
			switch data := e.Data.(type) {
			case CustomerNamed:
				name = data.Name
			case eventstore.Erased:
				name = fmt.Sprintf("erased by erasure %d", data.Erasure)
			}
		}
	}
	fmt.Println(name)
	// Output: erased by erasure 7
}

// A projection that has read events before they were erased learns of it on a channel of its own.
func ExampleEventsErased() {
	registry := eventstore.NewRegistry()
	eventstore.Register[eventstore.EventsErased](registry, "EventsErased")
	event := &eventstore.Event{
		Channel: eventstore.ErasuresChannel, Type: "EventsErased",
		Payload: []byte(`{"erasure": 7, "channel": "eventstore.customers", "sequences": [[1, 2]], "positions": [[4, 5]]}`),
	}
	if err := registry.Decode(event); err != nil {
		fmt.Println(err)
		return
	}
	erased := event.Data.(eventstore.EventsErased)
	fmt.Println("erasure", erased.Erasure, "of", erased.Channel, erased.Sequences)
	// Output: erasure 7 of eventstore.customers [[1 2]]
}
