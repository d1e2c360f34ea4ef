package main

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// channel holds the events of orders and accounts in a single sequence. It is an event channel because it matches the server's
// default pattern eventstore.>.
const channel = "eventstore.shop"

// The events of an order.
type (
	// OrderPlaced starts an order and its saga.
	OrderPlaced struct {
		Customer string `json:"customer"`
		Cents    int64  `json:"cents"`
	}
	// ReviewApproved means that the shop is willing to deliver the order.
	ReviewApproved struct{}
	// ReviewRejected means that it is not.
	ReviewRejected struct {
		Reason string `json:"reason"`
	}
	// OrderCompleted ends the saga: the order is paid and approved.
	OrderCompleted struct{}
	// OrderCancelled ends the saga: the order is not delivered, and nobody pays.
	OrderCancelled struct {
		Reason string `json:"reason"`
	}
)

// Order is the state of an order, built from its events.
type Order struct {
	Placed OrderPlaced
	Review string // "", "approved", or the reason for the rejection
	Status string // "", "placed", "completed", "cancelled"
}

var errReviewed = errors.New("the order is already reviewed")

// limit is the highest price, in cents, of an order that the review approves.
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
