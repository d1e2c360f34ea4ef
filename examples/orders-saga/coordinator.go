package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// coordinate ends sagas. Payment and review run in parallel. After each of their events, coordinate loads both aggregates and
// appends the resulting events of both in one transaction, so a saga never ends halfway.
func (s *shop) coordinate(story *stage.Story, name string) func(context.Context, jetstream.Msg) error {
	return func(ctx context.Context, message jetstream.Msg) error {
		id := message.Headers().Get("Aggregate-Id")
		if message.Headers().Get("Aggregate-Type") == "Account" {
			var payment struct {
				Order string `json:"order"`
			}
			if err := json.Unmarshal(message.Data(), &payment); err != nil {
				return fmt.Errorf("decode %s: %w", message.Subject(), err)
			}
			id = payment.Order
		}
		for {
			outcome, err := s.advance(ctx, id)
			var conflict *eventstore.ConflictError
			if errors.As(err, &conflict) {
				continue // an aggregate changed meanwhile: decide again
			}
			if err == nil && outcome != "" {
				story.Say(name, "order %.8s: %s", id, outcome)
			}
			return err
		}
	}
}

// advance appends the events that follow from the states of an order and its payment. It returns what it did, in words.
func (s *shop) advance(ctx context.Context, id string) (outcome string, err error) {
	order, orderVersion, err := s.orders.Load(ctx, id)
	if err != nil {
		return "", err
	}
	customer := order.Placed.Customer
	account, accountVersion, err := s.accounts.Load(ctx, customer)
	if err != nil {
		return "", err
	}
	var events []eventstore.NewEvent
	add := func(aggregateType, aggregateID string, data any) {
		event, encodeErr := s.registry.New(aggregateType, aggregateID, data)
		events, err = append(events, event), errors.Join(err, encodeErr)
	}
	payment, rejected := account.Payments[id], order.Review != "" && order.Review != "approved"
	switch {
	case order.Status == "placed" && (rejected || payment == "refused"):
		reason := "not enough money"
		if rejected {
			reason = order.Review
		}
		outcome = "cancelled, " + reason
		add("Order", id, OrderCancelled{Reason: reason})
	case order.Status == "placed" && payment == "debited" && order.Review == "approved":
		outcome = "completed"
		add("Order", id, OrderCompleted{})
	}
	if payment == "debited" && (rejected || order.Status == "cancelled") {
		outcome = strings.TrimPrefix(outcome+", payment refunded", ", ")
		add("Account", customer, PaymentVoided{Order: id, Cents: order.Placed.Cents})
	}
	if len(events) == 0 || err != nil {
		return "", err
	}
	_, err = s.client.Append(ctx, channel, events,
		eventstore.AtVersion("Order", id, orderVersion), eventstore.AtVersion("Account", customer, accountVersion))
	return outcome, err
}
