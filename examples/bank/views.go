package main

import (
	"context"
	"database/sql"
	_ "embed" // balances.yaml
	"fmt"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
)

// Views are the read models: the balance of each account, and its statement. They are tables in a SQL database of the service's own.
type Views struct {
	db                   *sql.DB
	balances, statements *eventstore.Projector
}

//go:embed balances.yaml
var balances []byte

const createStatements = `CREATE TABLE IF NOT EXISTS statements (account TEXT, position BIGINT, at TEXT NOT NULL, text TEXT NOT NULL,
	cents BIGINT NOT NULL, balance BIGINT NOT NULL, PRIMARY KEY (account, position))`

// NewViews returns the views in a database.
func NewViews(ctx context.Context, client *eventstore.Client, db *sql.DB, dialect eventstore.Dialect) (*Views, error) {
	if _, err := db.ExecContext(ctx, createStatements); err != nil {
		return nil, fmt.Errorf("create the table: %w", err)
	}
	file, err := sqlprojection.Parse(balances)
	if err != nil {
		return nil, err
	}
	balances, err := file.Projector(client, db, dialect)
	return &Views{db, balances, &eventstore.Projector{
		Name: "statements", DB: db, Dialect: dialect, Registry: registry(), Apply: applyStatement,
		Source: client.SourceAll(eventstore.AllOf(eventstore.QueryItem{Channels: []string{channel}})),
	}}, err
}

func applyStatement(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
	var cents int64
	var text string
	switch data := e.Data.(type) {
	case Deposited:
		cents, text = data.Cents, "deposit"
	case TransferSent:
		cents, text = -data.Cents, fmt.Sprintf("to %s: %s", data.Account, data.Text)
	case TransferReceived:
		cents, text = data.Cents, fmt.Sprintf("from %s: %s", data.Account, data.Text)
	default:
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO statements
		SELECT $1, $2, $3, $4, $5, $5 + COALESCE((SELECT balance FROM statements WHERE account = $1 ORDER BY position DESC LIMIT 1), 0)`,
		e.AggregateID, e.Position, e.RecordedAt.UTC().Format(time.RFC3339), text, cents)
	return err
}

// Balance is what an account has.
type Balance struct {
	Account string `json:"account"`
	Owner   string `json:"owner"`
	Cents   int64  `json:"cents"`
	Frozen  string `json:"frozen,omitempty"` // the reason
}

// Balance returns the balance of an account after everything up to a position.
func (v *Views) Balance(ctx context.Context, account string, after uint64) (b Balance, err error) {
	if err := v.balances.WaitFor(ctx, after); err != nil {
		return b, err
	}
	err = v.db.QueryRowContext(ctx, "SELECT account, owner, cents, frozen FROM balances WHERE account = $1", account).
		Scan(&b.Account, &b.Owner, &b.Cents, &b.Frozen)
	return b, err
}

// Entry is a line of a statement.
type Entry struct {
	At      string `json:"at"`
	Text    string `json:"text"`
	Cents   int64  `json:"cents"`
	Balance int64  `json:"balance"`
}

// Statement returns the lines of an account's statement, after everything up to a position.
func (v *Views) Statement(ctx context.Context, account string, after uint64) ([]Entry, error) {
	if err := v.statements.WaitFor(ctx, after); err != nil {
		return nil, err
	}
	rows, err := v.db.QueryContext(ctx, "SELECT at, text, cents, balance FROM statements WHERE account = $1 ORDER BY position", account)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	entries := []Entry{}
	for rows.Next() {
		var e Entry
		if err := rows.Scan(&e.At, &e.Text, &e.Cents, &e.Balance); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}
