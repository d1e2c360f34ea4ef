package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tableSchema is what a careful team makes by hand. The number of the transaction tells a reader which events cannot be
// followed any more by others before them.
const tableSchema = `
CREATE TABLE events (
	position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
	category text NOT NULL,
	id text NOT NULL,
	version bigint NOT NULL,
	type text NOT NULL,
	data jsonb NOT NULL,
	recorded_at timestamptz NOT NULL DEFAULT now(),
	UNIQUE (id, version)
);
CREATE INDEX events_category ON events (category, transaction, position);`

func startTable(ctx context.Context, at *place) (store, error) {
	source, err := at.database()
	if err != nil {
		return nil, err
	}
	return &inPostgres{at.postgres, source, func(c *pgx.Conn) client { return &tableClient{c} }}, execute(ctx, source, tableSchema)
}

type tableClient struct{ *pgx.Conn }

const (
	// The first %s is the version that the stream is at.
	tableInsert = `INSERT INTO events (category, id, version, type, data)
		SELECT $1, $2, %s + e.n, $3, e.data::jsonb FROM unnest($4::text[]) WITH ORDINALITY e (data, n)
		ORDER BY e.n RETURNING version`
	tableVersion = `(SELECT coalesce(max(version), 0) FROM events WHERE id = $2)`

	uniqueViolation = "23505"
	// insertAttempts bounds how often an append that expects no version is tried again because another was first.
	insertAttempts = 100
)

var (
	tableInsertAt  = fmt.Sprintf(tableInsert, "$5::bigint")
	tableInsertAny = fmt.Sprintf(tableInsert, tableVersion)
)

func (c *tableClient) append(ctx context.Context, to stream, at version, events [][]byte) (version, error) {
	texts := make([]string, len(events))
	for i, data := range events {
		texts[i] = string(data)
	}
	args := []any{to.category, to.key(), eventType, texts}
	if at != anyVersion {
		return c.insert(ctx, tableInsertAt, append(args, int64(at)))
	}
	for attempt := 1; ; attempt++ {
		v, err := c.insert(ctx, tableInsertAny, args)
		if !errors.Is(err, errConflict) || attempt == insertAttempts {
			return v, err
		}
	}
}

func (c *tableClient) insert(ctx context.Context, statement string, args []any) (last version, err error) {
	rows, err := c.Query(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	var v int64
	_, err = pgx.ForEachRow(rows, []any{&v}, func() error {
		last = max(last, version(v))
		return nil
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == uniqueViolation {
		return 0, errConflict
	}
	return last, err
}

// key is the stream's identifier among all streams.
func (s stream) key() string { return s.category + "-" + s.id }

func (c *tableClient) call(ctx context.Context) error { return ask(ctx, c.Conn) }

func (c *tableClient) read(ctx context.Context, of stream, limit int) ([][]byte, error) {
	return dataOf(c.Query(ctx, "SELECT data::text FROM events WHERE id = $1 ORDER BY version LIMIT $2", of.key(), limit))
}

// dataOf collects rows of one text.
func dataOf(rows pgx.Rows, err error) ([][]byte, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]byte, error) {
		var text string
		err := row.Scan(&text)
		return []byte(text), err
	})
}

func (c *tableClient) head(ctx context.Context, of stream) (version, error) {
	var v int64
	err := c.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM events WHERE id = $1", of.key()).Scan(&v)
	return version(v), err
}

// A transaction that is still under way may commit events before those of later ones.
const tableOfCategory = `FROM events WHERE category = $1 AND transaction < pg_snapshot_xmin(pg_current_snapshot())`

func (c *tableClient) category(ctx context.Context, name string, limit int) ([][]byte, error) {
	return dataOf(c.Query(ctx, "SELECT data::text "+tableOfCategory+" ORDER BY transaction, position LIMIT $2", name, limit))
}

func (c *tableClient) follow(ctx context.Context, category string, handle func([]byte) error) error {
	transaction, position := "0", int64(0)
	return poll(ctx, func() (n int, err error) {
		// Without its table, ORDER BY would take the text, in which 1000 comes before 999.
		rows, err := c.Query(ctx, "SELECT transaction::text, position, data::text "+tableOfCategory+
			" AND (transaction, position) > ($2::text::xid8, $3) ORDER BY events.transaction, position LIMIT $4", category, transaction, position, pageSize)
		if err != nil {
			return 0, err
		}
		var data string
		_, err = pgx.ForEachRow(rows, []any{&transaction, &position, &data}, func() error {
			n++
			return handle([]byte(data))
		})
		return n, err
	})
}

func (c *tableClient) close() { _ = c.Close(context.Background()) } // nothing is under way
