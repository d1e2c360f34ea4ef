// Package guide is the code of docs/guides/applications.md: a bank whose accounts are aggregates. Copy from it.
package guide

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Channel holds the events of all accounts. It is an event channel because its name matches the server's default pattern
// eventstore.>.
const Channel = "eventstore.accounts"

// The reasons to reject a command.
var (
	ErrExists            = errors.New("the account already exists")
	ErrNoAccount         = errors.New("the account does not exist")
	ErrInsufficientFunds = errors.New("insufficient funds")
)

// Account is the state of an account, built from its events.
type Account struct {
	ID       string
	Version  uint64 // event_version of its last event; 0 if the account does not exist
	Cents    int64
	executed map[string]bool // IDs of the commands that produced its events
}

// Amount is the event_data of Deposited and Withdrawn.
type Amount struct {
	Cents int64 `json:"cents"`
}

// Open decides whether to open the account. Like all decisions, it changes no state: it returns an event or an error.
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

// Load reads the events of an account and applies them.
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

// apply applies one event to the state.
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
		return fmt.Errorf("unknown event type %s: update this program", kind)
	}
	return nil
}
