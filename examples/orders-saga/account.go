package main

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// The events of a customer's account.
type (
	// AccountOpened opens an account with a balance.
	AccountOpened struct {
		Cents int64 `json:"cents"`
	}
	// PaymentDebited means that the account paid for an order.
	PaymentDebited struct {
		Order string `json:"order"`
		Cents int64  `json:"cents"`
	}
	// PaymentRefused means that the account does not have enough money for an order.
	PaymentRefused struct {
		Order string `json:"order"`
	}
	// PaymentVoided refunds the payment for an order.
	PaymentVoided struct {
		Order string `json:"order"`
		Cents int64  `json:"cents"`
	}
)

// Account is the state of an account, built from its events.
type Account struct {
	Cents    int64
	Payments map[string]string // "debited", "refused" or "voided", by order
}

var errPaid = errors.New("the payment is already decided")

// pay decides on the payment of an order. The account's expected version ensures that nobody else spends the same money
// meanwhile.
func (a Account) pay(order string, cents int64) ([]any, error) {
	switch {
	case a.Payments[order] != "":
		return nil, errPaid
	case a.Cents < cents:
		return []any{PaymentRefused{Order: order}}, nil
	}
	return []any{PaymentDebited{Order: order, Cents: cents}}, nil
}

func applyAccount(a Account, e *eventstore.Event) Account {
	if a.Payments == nil {
		a.Payments = make(map[string]string)
	}
	switch data := e.Data.(type) {
	case AccountOpened:
		a.Cents = data.Cents
	case PaymentDebited:
		a.Cents -= data.Cents
		a.Payments[data.Order] = "debited"
	case PaymentRefused:
		a.Payments[data.Order] = "refused"
	case PaymentVoided:
		a.Cents += data.Cents
		a.Payments[data.Order] = "voided"
	}
	return a
}
