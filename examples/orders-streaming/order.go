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
		Dish     string `json:"dish"`
		Cents    int64  `json:"cents"`
	}
	// OrderPrepared means that the restaurant has cooked the order.
	OrderPrepared struct {
		Cook string `json:"cook"`
	}
	// OrderRejected means that the restaurant cannot cook the order.
	OrderRejected struct {
		Reason string `json:"reason"`
	}
)

// Order is the state of an order, built from its events.
type Order struct {
	Placed OrderPlaced `json:"placed"`
	Status string      `json:"status"` // "", "placed", "prepared", "rejected"
}

var (
	errExists  = errors.New("the order already exists")
	errDecided = errors.New("the restaurant has already decided on the order")
)

func (o Order) place(p OrderPlaced) ([]any, error) {
	switch {
	case o.Status != "":
		return nil, errExists
	case p.Customer == "" || p.Dish == "" || p.Cents <= 0:
		return nil, errors.New("an order needs a customer, a dish and a price")
	}
	return []any{p}, nil
}

// cook is the restaurant's decision.
func (o Order) cook(cook string) ([]any, error) {
	if o.Status != "placed" {
		return nil, errDecided
	}
	if o.Placed.Dish == "unicorn" {
		return []any{OrderRejected{Reason: "we have no " + o.Placed.Dish}}, nil
	}
	return []any{OrderPrepared{Cook: cook}}, nil
}

func apply(o Order, e *eventstore.Event) Order {
	switch data := e.Data.(type) {
	case OrderPlaced:
		o.Placed, o.Status = data, "placed"
	case OrderPrepared:
		o.Status = "prepared"
	case OrderRejected:
		o.Status = "rejected"
	}
	return o
}

func newRegistry() *eventstore.Registry {
	r := eventstore.NewRegistry()
	eventstore.Register[OrderPlaced](r, "OrderPlaced")
	eventstore.Register[OrderPrepared](r, "OrderPrepared")
	eventstore.Register[OrderRejected](r, "OrderRejected")
	return r
}

// newOrders returns the repository of orders.
func newOrders(c *eventstore.Client) *eventstore.Repository[Order] {
	return &eventstore.Repository[Order]{
		Client: c, Channel: channel, AggregateType: "Order", Registry: newRegistry(), Apply: apply,
	}
}
