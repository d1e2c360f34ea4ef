package main

import (
	"context"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// Fraud reviews each account that has sent a transfer.
func Fraud(bank *Bank, views *Views) *eventstore.Reactor {
	return &eventstore.Reactor{
		Name: "fraud", DB: views.db, Dialect: views.balances.Dialect,
		Handle: func(ctx context.Context, e *eventstore.Event) error {
			_, err := bank.Review(ctx, "review "+e.Key(), e.AggregateID)
			return err
		},
	}
}

// sent selects what Fraud reacts to.
var sent = eventstore.AllOf(eventstore.QueryItem{Channels: []string{channel}, EventTypes: []string{"TransferSent"}})
