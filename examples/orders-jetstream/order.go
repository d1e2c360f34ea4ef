package main

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// channel holds the events of all orders. It is an event channel because it matches the server's default pattern
// eventstore.>.
const channel = "eventstore.orders"

// The events of an order.
type (
	// OrderPlaced is the first event of an order.
	OrderPlaced struct {
		Customer string `json:"customer"`
		Cents    int64  `json:"cents"`
	}
	// OrderApproved means that the order can be delivered.
	OrderApproved struct {
		Reviewer string `json:"reviewer"`
	}
	// OrderDenied means that it cannot.
	OrderDenied struct {
		Reviewer string `json:"reviewer"`
		Reason   string `json:"reason"`
	}
)

// Order is the state of an order, built from its events.
type Order struct {
	Placed OrderPlaced
	Status string // "", "placed", "approved", "denied"
}

var errReviewed = errors.New("the order is already reviewed")

// limit is the highest price, in cents, of an order that is approved.
const limit = 10_000

func (o Order) review(reviewer string) ([]any, error) {
	switch {
	case o.Status != "placed":
		return nil, errReviewed
	case o.Placed.Cents > limit:
		return []any{OrderDenied{Reviewer: reviewer, Reason: "too expensive"}}, nil
	}
	return []any{OrderApproved{Reviewer: reviewer}}, nil
}

func apply(o Order, e *eventstore.Event) Order {
	switch data := e.Data.(type) {
	case OrderPlaced:
		o.Placed, o.Status = data, "placed"
	case OrderApproved:
		o.Status = "approved"
	case OrderDenied:
		o.Status = "denied"
	}
	return o
}

// newOrders returns the repository of orders.
func newOrders(c *eventstore.Client) *eventstore.Repository[Order] {
	r := eventstore.NewRegistry()
	eventstore.Register[OrderPlaced](r, "OrderPlaced")
	eventstore.Register[OrderApproved](r, "OrderApproved")
	eventstore.Register[OrderDenied](r, "OrderDenied")
	return &eventstore.Repository[Order]{Client: c, Channel: channel, AggregateType: "Order", Registry: r, Apply: apply}
}
