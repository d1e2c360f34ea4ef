package main

import (
	"errors"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// The events of a customer's account.
type (
	// AccountOpened begins an account, with money.
	AccountOpened struct {
		Cents int64 `json:"cents"`
	}
	// PaymentDebited says that an order is paid.
	PaymentDebited struct {
		Order string `json:"order"`
		Cents int64  `json:"cents"`
	}
	// PaymentRefused says that there is not enough money for it.
	PaymentRefused struct {
		Order string `json:"order"`
	}
	// PaymentVoided gives back what was paid for an order.
	PaymentVoided struct {
		Order string `json:"order"`
		Cents int64  `json:"cents"`
	}
)

// Account is what the events of one account add up to.
type Account struct {
	Cents    int64
	Payments map[string]string // "debited", "refused" or "voided", by order
}

var errPaid = errors.New("the payment is decided")

// pay decides on the payment of an order. That nobody else takes the same money meanwhile is what the expected version of
// the account sees to.
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
