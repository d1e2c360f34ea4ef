package main

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// channel holds the events of all orders. It is an event channel by the server's default pattern eventstore.>.
const channel = "eventstore.orders"

// The events of an order.
type (
	// OrderPlaced begins an order.
	OrderPlaced struct {
		Customer string `json:"customer"`
		Dish     string `json:"dish"`
		Cents    int64  `json:"cents"`
	}
	// OrderPrepared says that the restaurant has cooked it.
	OrderPrepared struct {
		Cook string `json:"cook"`
	}
	// OrderRejected says that the restaurant cannot cook it.
	OrderRejected struct {
		Reason string `json:"reason"`
	}
)

// Order is what the events of one order add up to.
type Order struct {
	Placed OrderPlaced `json:"placed"`
	Status string      `json:"status"` // "", "placed", "prepared", "rejected"
}

var (
	errExists  = errors.New("the order exists")
	errDecided = errors.New("the restaurant has decided on the order")
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

// newOrders returns the orders in an event store.
func newOrders(c *eventstore.Client) *eventstore.Repository[Order] {
	return &eventstore.Repository[Order]{
		Client: c, Channel: channel, AggregateType: "Order", Registry: newRegistry(), Apply: apply,
	}
}
