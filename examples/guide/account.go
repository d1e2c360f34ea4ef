// Package guide is the code of docs/guide.md: a bank whose accounts are aggregates. It is meant to be copied from.
package guide

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Channel holds the events of all accounts. Its name makes it an event channel: it matches the server's default
// pattern eventstore.>.
const Channel = "eventstore.accounts"

// The rules of an account.
var (
	ErrExists            = errors.New("the account exists")
	ErrNoAccount         = errors.New("there is no such account")
	ErrInsufficientFunds = errors.New("insufficient funds")
)

// Account is what the events of one account add up to.
type Account struct {
	ID       string
	Version  uint64 // event_version of its last event; 0: there is no account
	Cents    int64
	executed map[string]bool // the commands that its events come from
}

// Amount is the event_data of Deposited and Withdrawn.
type Amount struct {
	Cents int64 `json:"cents"`
}

// Open decides on a new account. As all decisions it changes nothing, and returns the event or why there is none.
func (a *Account) Open() (*eventstorev1.Event, error) {
	if a.Version > 0 {
		return nil, ErrExists
	}
	return &eventstorev1.Event{EventType: "AccountOpened"}, nil
}

// Deposit decides on a deposit.
func (a *Account) Deposit(cents int64) (*eventstorev1.Event, error) {
	if a.Version == 0 {
		return nil, ErrNoAccount
	}
	return amountEvent("Deposited", cents)
}

// Withdraw decides on a withdrawal.
func (a *Account) Withdraw(cents int64) (*eventstorev1.Event, error) {
	if a.Cents < cents {
		return nil, ErrInsufficientFunds
	}
	return amountEvent("Withdrawn", cents)
}

func amountEvent(kind string, cents int64) (*eventstorev1.Event, error) {
	data, err := json.Marshal(Amount{Cents: cents})
	return &eventstorev1.Event{EventType: kind, EventData: data}, err
}

// Load reads the history of an account, and applies it.
func Load(ctx context.Context, db *sql.DB, id string) (*Account, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT event_version, COALESCE(event_id, ''), event_type, event_data
		FROM events
		WHERE aggregate_id = $1 AND aggregate_type = 'Account'
		ORDER BY event_version`, id)
	if err != nil {
		return nil, fmt.Errorf("load account %q: %w", id, err)
	}
	defer rows.Close()
	a := &Account{ID: id, executed: make(map[string]bool)}
	for rows.Next() {
		var command, kind string
		var data []byte
		if err := rows.Scan(&a.Version, &command, &kind, &data); err != nil {
			return nil, fmt.Errorf("load account %q: %w", id, err)
		}
		if err := a.apply(kind, data); err != nil {
			return nil, fmt.Errorf("apply version %d of account %q: %w", a.Version, id, err)
		}
		a.executed[command] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load account %q: %w", id, err)
	}
	return a, nil
}

// apply changes the state by one event.
func (a *Account) apply(kind string, data []byte) error {
	if kind == "AccountOpened" {
		return nil
	}
	var amount Amount
	if err := json.Unmarshal(data, &amount); err != nil {
		return fmt.Errorf("decode %s: %w", kind, err)
	}
	switch kind {
	case "Deposited":
		a.Cents += amount.Cents
	case "Withdrawn":
		a.Cents -= amount.Cents
	default:
		return fmt.Errorf("%s is unknown: this program is too old to decide", kind)
	}
	return nil
}
