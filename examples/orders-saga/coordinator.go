package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/examples/stage"
)

// coordinate ends sagas. Payment and review run in parallel. After each of their events, coordinate loads both aggregates and
// stores the resulting events of both in one transaction, so a saga never ends halfway.
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
		outcome, err := s.advance(ctx, id)
		if err == nil && outcome != "" {
			story.Say(name, "order %.8s: %s", id, outcome)
		}
		return err
	}
}

// advance stores the events that follow from the states of an order and its payment. It returns what it did, in words.
func (s *shop) advance(ctx context.Context, id string) (outcome string, err error) {
	placed, _, err := s.orders.Load(ctx, id)
	if err != nil {
		return "", err
	}
	order, account := s.orders.Aggregate(id), s.accounts.Aggregate(placed.Placed.Customer)
	_, err = eventstore.ExecuteMany(ctx, []eventstore.Participant{order, account}, func() (events []eventstore.NewEvent, _ error) {
		outcome = ""
		payment, review := account.State.Payments[id], order.State.Review
		rejected := review != "" && review != "approved"
		switch {
		case order.State.Status == "placed" && (rejected || payment == "refused"):
			reason := "not enough money"
			if rejected {
				reason = review
			}
			outcome = "cancelled, " + reason
			events = append(events, order.Event(OrderCancelled{Reason: reason}))
		case order.State.Status == "placed" && payment == "debited" && review == "approved":
			outcome = "completed"
			events = append(events, order.Event(OrderCompleted{}))
		}
		if payment == "debited" && (rejected || order.State.Status == "cancelled") {
			outcome = strings.TrimPrefix(outcome+", payment refunded", ", ")
			events = append(events, account.Event(PaymentVoided{Order: id, Cents: order.State.Placed.Cents}))
		}
		return events, nil
	})
	return outcome, err
}
