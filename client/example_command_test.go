package eventstore_test

import (
	"errors"
	"fmt"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// A service passes the ID of a request and what the client asks for. If the request comes again, it is a repetition, and if the
// ID comes with another request, a mistake.
func ExampleCommand() {
	ctx, client, stop := connect()
	defer stop()
	accounts := accounts(client)
	type Payment struct {
		From  string
		Cents int64
	}
	pay := func(id, account string, request Payment) {
		result, err := accounts.Execute(ctx, account, func(Account, uint64) ([]any, error) {
			return []any{Deposited{Cents: request.Cents}}, nil
		}, eventstore.Command(id, request))
		fmt.Println(result.State.Balance, result.Repeated, errors.Is(err, eventstore.ErrDuplicate))
	}
	pay("request-1", "account-1", Payment{"Ada", 500})
	pay("request-1", "account-1", Payment{"Ada", 500})
	pay("request-1", "account-1", Payment{"Ada", 900})
	pay("request-1", "account-2", Payment{"Ada", 500})
	first, err := client.Get(ctx, "eventstore.accounts", "request-1/1")
	fmt.Println(len(first.Metadata[eventstore.MetadataCommand]) > 0, err)
	// Output:
	// 500 false false
	// 500 true false
	// 0 false true
	// 0 false true
	// true <nil>
}

// Options say more about the events of a command than their data does.
func ExampleExecuteOption() {
	ctx, client, stop := connect()
	defer stop()
	options := []eventstore.ExecuteOption{
		eventstore.Metadata(map[string]string{"user": "Ada"}),
		eventstore.Tags("branch:berlin"),
		eventstore.OccurredAt(time.Date(2026, 11, 2, 9, 30, 0, 0, time.UTC)), // not when it is entered
	}
	_, err := accounts(client).Execute(ctx, "account-1", func(Account, uint64) ([]any, error) {
		return []any{
			Deposited{Cents: 500},
			eventstore.NewEvent{Data: Deposited{Cents: 1}, Tags: []string{"bonus"}}, // this one is special
		}, nil
	}, options...)
	fmt.Println(err)
	events, err := client.Load(ctx, "eventstore.accounts", "Account", "account-1", 1)
	for _, e := range events {
		fmt.Println(e.Metadata["user"], e.Tags, e.OccurredAt)
	}
	fmt.Println(err)
	// Output:
	// <nil>
	// Ada [branch:berlin] 2026-11-02 09:30:00 +0000 UTC
	// Ada [bonus branch:berlin] 2026-11-02 09:30:00 +0000 UTC
	// <nil>
}

// A command may expect something of what it does not load: here, that the customer is known, and not locked.
func ExampleExpect() {
	ctx, client, stop := connect()
	defer stop()
	locked := eventstore.AllOf(eventstore.QueryItem{EventTypes: []string{"CustomerLocked"}, AggregateIDs: []string{"ada"}})
	open := func() error {
		_, err := accounts(client).Execute(ctx, "account-1", func(Account, uint64) ([]any, error) {
			return []any{AccountOpened{Owner: "ada"}}, nil
		}, eventstore.Expect(eventstore.NoneAfter(0, locked)))
		return err
	}
	fmt.Println(open())
	account, version, err := accounts(client).Load(ctx, "account-1")
	fmt.Println(account.Owner, version, err)
	// Output:
	// <nil>
	// ada 1 <nil>
}

// A limit of the customer, on a channel of its own, and an account. ExecuteMany takes aggregates with different states.
func ExampleParticipant() {
	ctx, client, stop := connect()
	defer stop()
	limits := &eventstore.Repository[int64]{
		Client: client, Channel: "eventstore.limits", AggregateType: "Limit", Registry: accountEvents(),
		Apply: func(limit int64, e *eventstore.Event) int64 { return limit + e.Data.(Deposited).Cents },
	}
	account, limit := accounts(client).Aggregate("account-1"), limits.Aggregate("ada")
	both := []eventstore.Participant{account, limit}
	_, err := eventstore.ExecuteMany(ctx, both, func() ([]eventstore.NewEvent, error) {
		if limit.State == 0 { // stays true until the event is stored, though the limit gets no event here
			return []eventstore.NewEvent{account.Event(Deposited{Cents: 50})}, nil
		}
		return nil, nil
	})
	fmt.Println(account.ID, "has", account.State.Balance, "at version", account.Version, err)
	// Output: account-1 has 50 at version 1 <nil>
}
