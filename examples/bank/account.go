package main

import eventstore "github.com/nats-eventstore/nats-eventstore/client"

// The events of an account.
type (
	AccountOpened struct{ Owner string }
	Deposited     struct{ Cents int64 }
	TransferSent  struct {
		To, Text string
		Cents    int64
	}
	TransferReceived struct {
		From, Text string
		Cents      int64
	}
	AccountFrozen struct{ Reason string }
)

// DepositedEuros is the first schema of Deposited. It is still in the log.
type DepositedEuros struct{ Euros int64 }

func registry() *eventstore.Registry {
	r := eventstore.NewRegistry()
	eventstore.Register[AccountOpened](r, "AccountOpened")
	eventstore.Register[Deposited](r, "Deposited", eventstore.SchemaVersion(2))
	eventstore.Register[DepositedEuros](r, "Deposited")
	eventstore.Upcast(r, func(old DepositedEuros) (Deposited, error) { return Deposited{Cents: 100 * old.Euros}, nil })
	eventstore.Register[TransferSent](r, "TransferSent")
	eventstore.Register[TransferReceived](r, "TransferReceived")
	eventstore.Register[AccountFrozen](r, "AccountFrozen")
	return r
}

// Account is the state that the events of an account build.
type Account struct {
	Open, Frozen bool
	Cents        int64
	Large        int // transfers of largeCents or more, sent since the account was opened
}

func (a Account) apply(e *eventstore.Event) Account {
	switch data := e.Data.(type) {
	case AccountOpened:
		a.Open = true
	case Deposited:
		a.Cents += data.Cents
	case TransferSent:
		a.Cents -= data.Cents
		if data.Cents >= largeCents {
			a.Large++
		}
	case TransferReceived:
		a.Cents += data.Cents
	case AccountFrozen:
		a.Frozen = true
	}
	return a
}

// Refusal is a reason to refuse a command.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// The reasons to refuse a command.
const (
	ErrExists    Refusal = "the account is open already"
	ErrNoAccount Refusal = "there is no such account"
	ErrAmount    Refusal = "the amount must be positive"
	ErrFunds     Refusal = "insufficient funds"
	ErrFrozen    Refusal = "the account is frozen"
)

func (a Account) open(owner string) ([]any, error) {
	if a.Open {
		return nil, ErrExists
	}
	return []any{AccountOpened{owner}}, nil
}

func (a Account) deposit(cents int64) ([]any, error) {
	switch {
	case !a.Open:
		return nil, ErrNoAccount
	case cents <= 0:
		return nil, ErrAmount
	}
	return []any{Deposited{cents}}, nil
}

// send says why the account cannot send an amount to another one, if it cannot.
func (a Account) send(to Account, cents int64) error {
	switch {
	case !a.Open || !to.Open:
		return ErrNoAccount
	case cents <= 0:
		return ErrAmount
	case a.Frozen || to.Frozen:
		return ErrFrozen
	case a.Cents < cents:
		return ErrFunds
	}
	return nil
}

// An account that sends many large transfers is frozen until somebody has looked at it.
const largeCents, manyLarge = 1_000_00, 3

func (a Account) review() ([]any, error) {
	if a.Frozen || a.Large < manyLarge {
		return nil, nil
	}
	return []any{AccountFrozen{"many large transfers"}}, nil
}
