package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// The event_data of each event_type. Amounts are in cents.
type (
	// OrderCreated is the first event of an order.
	OrderCreated struct {
		Customer   string `json:"customer"`
		Items      []Item `json:"items"`
		TotalCents int    `json:"total_cents"`
		Currency   string `json:"currency"`
	}
	// Item is one line of an order.
	Item struct {
		SKU        string `json:"sku"`
		Quantity   int    `json:"quantity"`
		PriceCents int    `json:"price_cents"`
	}
	// OrderApproved follows a check of the customer's credit.
	OrderApproved struct {
		ApprovedBy string `json:"approved_by"`
	}
	// OrderShipped follows the handover to a carrier.
	OrderShipped struct {
		Carrier  string `json:"carrier"`
		Tracking string `json:"tracking"`
	}
	// OrderCompleted is the last event of an order.
	OrderCompleted struct {
		SignedBy string `json:"signed_by"`
	}
)

// steps is the number of events in the life of an order.
const steps = 4

// orderEvent returns the nth event (from 0) of a run. Each order goes through all
// its steps before the next one starts. The event has no event_version yet.
func orderEvent(run string, n int) (*eventstorev1.Event, error) {
	order := n/steps + 1
	quantity := order%3 + 1
	var typ string
	var data any
	switch n % steps {
	case 0:
		typ, data = "OrderCreated", OrderCreated{
			Customer:   fmt.Sprintf("customer-%d", order%100),
			Items:      []Item{{SKU: fmt.Sprintf("tea-%d", order%7), Quantity: quantity, PriceCents: 1250}},
			TotalCents: quantity * 1250,
			Currency:   "EUR",
		}
	case 1:
		typ, data = "OrderApproved", OrderApproved{ApprovedBy: "credit-check"}
	case 2:
		typ, data = "OrderShipped", OrderShipped{Carrier: "bike", Tracking: fmt.Sprintf("T%08d", order)}
	default:
		typ, data = "OrderCompleted", OrderCompleted{SignedBy: "neighbour"}
	}
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", typ, err)
	}
	aggregate := fmt.Sprintf("order-%s-%d", run, order)
	return &eventstorev1.Event{
		// The event_id makes it safe to publish the event again, for example after
		// a lost acknowledgement: it is stored once.
		EventId:       nuid.Next(),
		EventType:     typ,
		AggregateId:   aggregate,
		AggregateType: "Order",
		EventData:     text,
		ContentType:   "application/json",
		OccurredAt:    timestamppb.New(time.Now()),
		Metadata:      map[string]string{"correlation_id": aggregate},
	}, nil
}
