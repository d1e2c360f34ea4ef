package eventstoretest_test

import (
	"errors"
	"strings"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// A consumer without a name ends with an error at an event that it cannot decode: the server would send it again and again.
func TestConsumerWithoutName(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	event := eventstore.NewEvent{Type: "Other", AggregateType: "Account", AggregateID: "a", Payload: []byte("{}")}
	if _, err := server.Client().Append(t.Context(), "eventstore.accounts", []eventstore.NewEvent{event}); err != nil {
		t.Fatal(err)
	}
	consumer := eventstore.Consumer{
		Client: server.Client(), Channel: "eventstore.accounts", ClientID: "reader", Start: eventstore.FromBeginning(), Registry: eventstore.NewRegistry(),
	}
	if err := consumer.Run(t.Context()); !errors.Is(err, eventstore.ErrUnknownType) {
		t.Error(err)
	}
}

// A command whose ID is missing is refused, since its repetition would be executed again.
func TestCommandWithoutID(t *testing.T) {
	t.Parallel()
	type opened struct{ Owner string }
	registry := eventstore.NewRegistry()
	eventstore.Register[opened](registry, "Opened")
	accounts := eventstore.Repository[int]{
		Client: eventstoretest.Start(t).Client(), Channel: "eventstore.accounts", Registry: registry,
		Apply: func(n int, _ *eventstore.Event) int { return n + 1 },
	}
	_, err := accounts.Execute(t.Context(), "a", func(int, uint64) ([]any, error) { return []any{opened{"Ada"}}, nil }, eventstore.Command(""))
	if err == nil || !strings.Contains(err.Error(), "ID of Command is empty") {
		t.Error(err)
	}
}
