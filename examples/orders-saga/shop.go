package main

import "github.com/nats-eventstore/nats-eventstore/client"

// shop is the services' access to the event store.
type shop struct {
	client   *eventstore.Client
	registry *eventstore.Registry
	orders   *eventstore.Repository[Order]
	accounts *eventstore.Repository[Account] // by customer
}

func newShop(c *eventstore.Client) *shop {
	r := eventstore.NewRegistry()
	eventstore.Register[OrderPlaced](r, "OrderPlaced")
	eventstore.Register[ReviewApproved](r, "ReviewApproved")
	eventstore.Register[ReviewRejected](r, "ReviewRejected")
	eventstore.Register[OrderCompleted](r, "OrderCompleted")
	eventstore.Register[OrderCancelled](r, "OrderCancelled")
	eventstore.Register[AccountOpened](r, "AccountOpened")
	eventstore.Register[PaymentDebited](r, "PaymentDebited")
	eventstore.Register[PaymentRefused](r, "PaymentRefused")
	eventstore.Register[PaymentVoided](r, "PaymentVoided")
	return &shop{
		client:   c,
		registry: r,
		orders:   &eventstore.Repository[Order]{Client: c, Channel: channel, AggregateType: "Order", Registry: r, Apply: applyOrder},
		accounts: &eventstore.Repository[Account]{Client: c, Channel: channel, AggregateType: "Account", Registry: r, Apply: applyAccount},
	}
}
