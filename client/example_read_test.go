package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

func ExampleClient_Get() {
	ctx, client, stop := connect()
	defer stop()
	opened := []eventstore.NewEvent{{ID: "opened-1", Type: "AccountOpened", AggregateType: "Account", AggregateID: "a", Payload: []byte(`{"Owner":"Ada"}`)}}
	if _, err := client.Append(ctx, "eventstore.accounts", opened); err != nil {
		fmt.Println(err)
	}
	event, err := client.Get(ctx, "eventstore.accounts", "opened-1")
	fmt.Println(event.Sequence, string(event.Payload), err)
	_, err = client.Get(ctx, "", "opened-2") // on any channel
	fmt.Println(errors.Is(err, eventstore.ErrNotFound))
	// Output:
	// 1 {"Owner":"Ada"} <nil>
	// true
}

// ReadAll reads what is stored, also backward. Replays go on with what is stored later.
func ExampleClient_ReadAll() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 1, 2, 3)
	show := func(event *eventstore.Event) error {
		fmt.Println(event.Position, string(event.Payload))
		return nil
	}
	deposits := eventstore.AllOf(eventstore.QueryItem{EventTypes: []string{"Deposited"}})
	fmt.Println(client.ReadAll(ctx, deposits, eventstore.ReadOptions{Backward: true, Limit: 2}, show))
	fmt.Println(client.ReadAll(ctx, deposits, eventstore.ReadOptions{Start: eventstore.FromPosition(3)}, show))
	fmt.Println(client.ReadAll(ctx, deposits, eventstore.ReadOptions{Start: eventstore.FromTime(time.Now().Add(time.Hour))}, show))
	// Output:
	// 3 {"Cents":3}
	// 2 {"Cents":2}
	// <nil>
	// 3 {"Cents":3}
	// <nil>
	// <nil>
}

// Only the last event, then what comes.
func ExampleFromLast() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 1, 2, 3)
	err := client.Replay(ctx, "eventstore.accounts", eventstore.FromLast(), eventstore.Filter{}, func(event *eventstore.Event) error {
		fmt.Println(event.Sequence)
		return eventstore.ErrStop
	})
	fmt.Println(err)
	// Output:
	// 3
	// <nil>
}

// A read from any server knows what this program has written.
func ExampleClient_AtLeast() {
	ctx, client, stop := connect()
	defer stop()
	result, err := accounts(client).Execute(ctx, "account-1", func(Account, uint64) ([]any, error) { return []any{Deposited{Cents: 5}}, nil })
	if err != nil {
		fmt.Println(err)
	}
	reading := client.WithStandbyReads(0, nil).AtLeast(result.Position)
	stored, err := reading.Load(ctx, "eventstore.accounts", "Account", "account-1", 1)
	fmt.Println(len(stored), err)
	// Output: 1 <nil>
}

// A source delivers batches with checkpoints: to a Projector, a Reactor or, here, a program of one's own.
func ExampleSource() {
	ctx, client, stop := connect()
	defer stop()
	deposit(ctx, client, "account-1", 1, 2)
	source := client.Source("eventstore.accounts", eventstore.Filter{})
	err := source.Receive(ctx, 1, func(batch eventstore.Batch) error { // after sequence 1
		for _, event := range batch.Events {
			fmt.Println(event.Sequence, string(event.Payload))
		}
		if batch.CaughtUp {
			return eventstore.ErrStop
		}
		return nil
	})
	fmt.Println(errors.Is(err, eventstore.ErrStop))
	// Output:
	// 2 {"Cents":2}
	// true
}

// A user name is taken if no event since the last look says that it is.
func ExampleNoneAfter() {
	ctx, client, stop := connect()
	defer stop()
	taken := eventstore.AllOf(eventstore.QueryItem{EventTypes: []string{"NameTaken"}, Tags: []string{"name:ada"}})
	take := func(user string) error {
		free := true
		position, err := client.ReadMatching(ctx, taken, 0, func(*eventstore.Event) error {
			free = false
			return nil
		})
		if err != nil || !free {
			return err
		}
		return appendName(ctx, client, user, eventstore.NoneAfter(position, taken))
	}
	fmt.Println(take("user-1"))
	// This one has not looked.
	err := appendName(ctx, client, "user-2", eventstore.NoneAfter(0, taken))
	var condition *eventstore.ConditionError
	fmt.Println(errors.As(err, &condition), "by the event at position", condition.Position)
	// Output:
	// <nil>
	// true by the event at position 1
}

func appendName(ctx context.Context, client *eventstore.Client, user string, free eventstore.Expectation) error {
	event := eventstore.NewEvent{Type: "NameTaken", AggregateType: "User", AggregateID: user, Tags: []string{"name:ada"}}
	_, err := client.Append(ctx, "eventstore.users", []eventstore.NewEvent{event}, free)
	return err
}

// An append over two channels, with an expectation of each.
func ExampleExpectation_On() {
	ctx, client, stop := connect()
	defer stop()
	positions, err := client.Append(ctx, "eventstore.orders", []eventstore.NewEvent{
		{Type: "OrderPlaced", AggregateType: "Order", AggregateID: "o-1"},
		{Type: "StockReserved", AggregateType: "Item", AggregateID: "tea", Channel: "eventstore.stock"},
	}, eventstore.NoEvents("Order", "o-1"), eventstore.NoEvents("Item", "tea").On("eventstore.stock"))
	fmt.Println(positions, err)
	// Output: [{1 1 1} {1 1 2}] <nil>
}
