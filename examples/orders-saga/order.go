package main

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// channel holds the events of orders and accounts, in one order. It is an event channel by the server's default pattern
// eventstore.>.
const channel = "eventstore.shop"

// The events of an order.
type (
	// OrderPlaced begins an order, and its saga.
	OrderPlaced struct {
		Customer string `json:"customer"`
		Cents    int64  `json:"cents"`
	}
	// ReviewApproved says that the shop would deliver it.
	ReviewApproved struct{}
	// ReviewRejected says that it would not.
	ReviewRejected struct {
		Reason string `json:"reason"`
	}
	// OrderCompleted ends the saga: it is paid and approved.
	OrderCompleted struct{}
	// OrderCancelled ends the saga: it is not to be delivered, and nobody pays.
	OrderCancelled struct {
		Reason string `json:"reason"`
	}
)

// Order is what the events of one order add up to.
type Order struct {
	Placed OrderPlaced
	Review string // "", "approved", or why it was rejected
	Status string // "", "placed", "completed", "cancelled"
}

var errReviewed = errors.New("the order is reviewed")

// limit is what an order may cost, in cents, to be delivered.
const limit = 50_000

func (o Order) review() ([]any, error) {
	switch {
	case o.Review != "":
		return nil, errReviewed
	case o.Placed.Cents > limit:
		return []any{ReviewRejected{Reason: "too expensive to be true"}}, nil
	}
	return []any{ReviewApproved{}}, nil
}

func applyOrder(o Order, e *eventstore.Event) Order {
	switch data := e.Data.(type) {
	case OrderPlaced:
		o.Placed, o.Status = data, "placed"
	case ReviewApproved:
		o.Review = "approved"
	case ReviewRejected:
		o.Review = data.Reason
	case OrderCompleted:
		o.Status = "completed"
	case OrderCancelled:
		o.Status = "cancelled"
	}
	return o
}
