package guide

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// BalancesTable creates the table of the projection Balances.
const BalancesTable = `CREATE TABLE IF NOT EXISTS balances (
	account VARCHAR(255) PRIMARY KEY,
	cents BIGINT NOT NULL
)`

// Balances is a projection: the balance of each account.
func Balances(ctx context.Context, tx *sql.Tx, event *eventstorev1.Event) error {
	var err error
	switch event.EventType {
	case "AccountOpened":
		_, err = tx.ExecContext(ctx, "INSERT INTO balances (account, cents) VALUES ($1, 0)", event.AggregateId)
	case "Deposited", "Withdrawn":
		var cents int64
		if cents, err = change(event); err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE balances SET cents = cents + $1 WHERE account = $2", cents, event.AggregateId)
		}
	}
	return err
}

// Balances2Table creates the table of the projection Balances2.
const Balances2Table = `CREATE TABLE IF NOT EXISTS balances_2 (
	account VARCHAR(255) PRIMARY KEY,
	cents BIGINT NOT NULL,
	movements BIGINT NOT NULL
)`

// Balances2 replaces Balances. It also counts the movements of each account.
func Balances2(ctx context.Context, tx *sql.Tx, event *eventstorev1.Event) error {
	var err error
	switch event.EventType {
	case "AccountOpened":
		_, err = tx.ExecContext(ctx, "INSERT INTO balances_2 (account, cents, movements) VALUES ($1, 0, 0)", event.AggregateId)
	case "Deposited", "Withdrawn":
		var cents int64
		if cents, err = change(event); err == nil {
			_, err = tx.ExecContext(ctx, "UPDATE balances_2 SET cents = cents + $1, movements = movements + 1 WHERE account = $2", cents, event.AggregateId)
		}
	}
	return err
}

// change returns the amount that an event adds to its account.
func change(event *eventstorev1.Event) (int64, error) {
	var amount Amount
	if err := json.Unmarshal(event.EventData, &amount); err != nil {
		return 0, fmt.Errorf("decode %s: %w", event.EventType, err)
	}
	if event.EventType == "Withdrawn" {
		return -amount.Cents, nil
	}
	return amount.Cents, nil
}
