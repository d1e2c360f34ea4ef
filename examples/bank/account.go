package main

import eventstore "github.com/nats-eventstore/nats-eventstore/client"

// The events of an account.
type (
	AccountOpened    struct{ Owner string }
	Deposited        struct{ Cents int64 }
	TransferSent     Transfer
	TransferReceived Transfer
	AccountFrozen    struct{ Reason string }
)

// Transfer is what both accounts of a transfer know. Each knows the other one.
type Transfer struct {
	Account, Text string
	Cents         int64
}

// DepositedEuros is the first schema of Deposited, which is still in the log.
type DepositedEuros struct{ Euros int64 }

func registry() *eventstore.Registry {
	r := eventstore.NewRegistry()
	eventstore.Register[AccountOpened](r, "AccountOpened")
	eventstore.Register[DepositedEuros](r, "Deposited")
	eventstore.Register[Deposited](r, "Deposited", eventstore.SchemaVersion(2))
	eventstore.Upcast(r, func(old DepositedEuros) (Deposited, error) { return Deposited{100 * old.Euros}, nil })
	eventstore.Register[TransferSent](r, "TransferSent")
	eventstore.Register[TransferReceived](r, "TransferReceived")
	eventstore.Register[AccountFrozen](r, "AccountFrozen")
	return r
}

// Account is the state that the events of an account build.
type Account struct {
	Open, Frozen bool
	Cents        int64
	Large        int // large transfers that it sent
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

// Refusal is the reason to refuse a command.
type Refusal string

func (r Refusal) Error() string { return string(r) }

// The reasons to refuse a command.
const (
	ErrExists    Refusal = "the account is open already"
	ErrNoAccount Refusal = "there is no such account"
	ErrAmount    Refusal = "the amount must be positive"
	ErrFunds     Refusal = "insufficient funds"
	ErrFrozen    Refusal = "the account is frozen"
	ErrItself    Refusal = "an account cannot send to itself"
)

// A command decides on the state of an account: which events happen, or why none does.
type command func(a Account, version uint64) ([]any, error)

func open(owner string) command {
	return func(a Account, _ uint64) ([]any, error) {
		if a.Open {
			return nil, ErrExists
		}
		return []any{AccountOpened{owner}}, nil
	}
}

func deposit(cents int64) command {
	return func(a Account, _ uint64) ([]any, error) {
		switch {
		case !a.Open:
			return nil, ErrNoAccount
		case cents <= 0:
			return nil, ErrAmount
		}
		return []any{Deposited{cents}}, nil
	}
}

// An account that sends many large transfers is frozen until somebody has looked at it.
const largeCents, manyLarge = 1_000_00, 3

func review(a Account, _ uint64) ([]any, error) {
	if a.Frozen || a.Large < manyLarge {
		return nil, nil
	}
	return []any{AccountFrozen{"many large transfers"}}, nil
}

// mayTransfer says why one account cannot send an amount to another one, if it cannot.
func mayTransfer(from, to Account, cents int64) error {
	switch {
	case !from.Open || !to.Open:
		return ErrNoAccount
	case cents <= 0:
		return ErrAmount
	case from.Frozen || to.Frozen:
		return ErrFrozen
	case from.Cents < cents:
		return ErrFunds
	}
	return nil
}
