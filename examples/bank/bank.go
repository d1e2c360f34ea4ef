package main

import (
	"context"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

const (
	channel       = "eventstore.bank"
	aggregateType = "Account"
)

// Bank executes commands. Each has a key: the same command with the same key is executed once. It returns the position of what it
// stored.
type Bank struct {
	accounts  *eventstore.Repository[Account]
	transfers *eventstore.Decider[map[string]Account]
}

// NewBank returns a bank that keeps its events in the event store.
func NewBank(client *eventstore.Client) *Bank {
	return &Bank{
		&eventstore.Repository[Account]{
			Client: client, Channel: channel, AggregateType: aggregateType, Registry: registry(), Apply: Account.apply,
		},
		&eventstore.Decider[map[string]Account]{
			Client: client, Channel: channel, Registry: registry(),
			Apply: func(all map[string]Account, e *eventstore.Event) map[string]Account {
				if all == nil {
					all = make(map[string]Account)
				}
				all[e.AggregateID] = all[e.AggregateID].apply(e)
				return all
			},
		},
	}
}

// Open opens an account.
func (b *Bank) Open(ctx context.Context, key, id, owner string) (uint64, error) {
	return b.execute(ctx, key, id, func(a Account) ([]any, error) { return a.open(owner) })
}

// Deposit adds to an account.
func (b *Bank) Deposit(ctx context.Context, key, id string, cents int64) (uint64, error) {
	return b.execute(ctx, key, id, func(a Account) ([]any, error) { return a.deposit(cents) })
}

// Review freezes an account that looks like fraud.
func (b *Bank) Review(ctx context.Context, key, id string) (uint64, error) {
	return b.execute(ctx, key, id, Account.review)
}

func (b *Bank) execute(ctx context.Context, key, id string, decide func(Account) ([]any, error)) (position uint64, err error) {
	_, err = b.accounts.Execute(ctx, id, func(a Account, _ uint64) ([]any, error) { return decide(a) },
		eventstore.Command(key), eventstore.StoredAt(&position))
	return position, err
}

// Transfer moves money from one account to another: both events are stored, or none.
func (b *Bank) Transfer(ctx context.Context, key, from, to, text string, cents int64) (position uint64, err error) {
	if from == to {
		return 0, ErrItself
	}
	both := eventstore.AllOf(eventstore.QueryItem{AggregateTypes: []string{aggregateType}, AggregateIDs: []string{from, to}})
	_, err = b.transfers.Decide(ctx, both, func(accounts map[string]Account) ([]eventstore.NewEvent, error) {
		if err := accounts[from].mayTransfer(accounts[to], cents); err != nil {
			return nil, err
		}
		return []eventstore.NewEvent{
			{AggregateType: aggregateType, AggregateID: from, Data: TransferSent{to, text, cents}},
			{AggregateType: aggregateType, AggregateID: to, Data: TransferReceived{from, text, cents}},
		}, nil
	}, eventstore.Command(key), eventstore.StoredAt(&position))
	return position, err
}
