package main

import (
	"context"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

const channel = "eventstore.bank"

// Bank executes commands. However often a command comes with its key, it happens once. The position says where.
type Bank struct {
	accounts *eventstore.Repository[Account]
}

// NewBank returns a bank on an event store.
func NewBank(client *eventstore.Client) *Bank {
	return &Bank{&eventstore.Repository[Account]{
		Client: client, Channel: channel, AggregateType: "Account", Registry: registry(), Apply: Account.apply,
	}}
}

// Execute executes a command on an account. request is what the client asked for.
func (b *Bank) Execute(ctx context.Context, key, id string, decide command, request ...any) (position uint64, err error) {
	result, err := b.accounts.Execute(ctx, id, decide, eventstore.Command(key, request...))
	return result.Position, err
}

// Transfer moves money from one account to another: both get their event, or none.
func (b *Bank) Transfer(ctx context.Context, key, id, receiver, text string, cents int64) (position uint64, err error) {
	if id == receiver {
		return 0, ErrItself
	}
	from, to := b.accounts.Aggregate(id), b.accounts.Aggregate(receiver)
	result, err := eventstore.ExecuteMany(ctx, []eventstore.Participant{from, to}, func() ([]eventstore.NewEvent, error) {
		if err := mayTransfer(from.State, to.State, cents); err != nil {
			return nil, err
		}
		return []eventstore.NewEvent{from.Event(TransferSent{receiver, text, cents}), to.Event(TransferReceived{id, text, cents})}, nil
	}, eventstore.Command(key, id, receiver, text, cents))
	return result.Position, err
}

// Fraud reviews each account that sends money.
func (b *Bank) Fraud(views *Views) *eventstore.Reactor {
	return &eventstore.Reactor{
		Name: "fraud", DB: views.db, Dialect: views.statements.Dialect,
		Handle: func(ctx context.Context, e *eventstore.Event) error {
			_, err := b.Execute(ctx, "review "+e.Key(), e.AggregateID, review)
			return err
		},
	}
}

// sent selects what Fraud handles.
var sent = eventstore.AllOf(eventstore.QueryItem{Channels: []string{channel}, EventTypes: []string{"TransferSent"}})
