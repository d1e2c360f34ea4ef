package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

const (
	projectionChannel  = "eventstore.bench-projection"
	projectionBytes    = 256
	projectionAppend   = 1000 // events
	projectionName     = "SQL projection"
	projectionRead     = "events are read and not applied"
	projectionInsert   = "one row for each event"
	projectionUpsert   = "a row, and a total for each of 100 customers"
	projectionMeasures = 200_000 // events, at most
)

// projectionFile is a SQL projection of the section. The second is the statement of the total, which differs by database.
const projectionFile = `
name: %s
source: {channels: [` + projectionChannel + `]}
tables:
  orders: "CREATE TABLE IF NOT EXISTS {orders} (id VARCHAR(64) PRIMARY KEY, customer VARCHAR(64) NOT NULL, total DECIMAL(12, 2) NOT NULL, position BIGINT NOT NULL)"
  customers: "CREATE TABLE IF NOT EXISTS {customers} (id VARCHAR(64) PRIMARY KEY, orders BIGINT NOT NULL, total DECIMAL(20, 2) NOT NULL)"
events:
  OrderPlaced:
    - INSERT INTO {orders} (id, customer, total, position) VALUES ($aggregate_id, $.customer, $.total, $event.position)
%s`

var projectionTotals = map[string]string{
	"sqlite":   `    - INSERT INTO {customers} (id, orders, total) VALUES ($.customer, 1, $.total) ON CONFLICT (id) DO UPDATE SET orders = orders + 1, total = total + excluded.total`,
	"postgres": `    - INSERT INTO {customers} (id, orders, total) VALUES ($.customer, 1, $.total) ON CONFLICT (id) DO UPDATE SET orders = {customers}.orders + 1, total = {customers}.total + excluded.total`,
	"mysql":    `    - INSERT INTO {customers} (id, orders, total) VALUES ($.customer, 1, $.total) ON DUPLICATE KEY UPDATE orders = orders + 1, total = total + VALUES(total)`,
}

// projectionTrials measure a SQL projection that catches up, into another database of the same kind.
func projectionTrials(s *setup, _ context.Context) ([]trial, error) {
	var all []trial
	for _, database := range allDatabases {
		if s.databases.Has(database) && s.peers.Has(ours) {
			all = append(all, trial{projectionName, peerID{ours, database}, projectionBytes, func(ctx context.Context) ([]figure, error) {
				return s.projections(ctx, database)
			}})
		}
	}
	return all, nil
}

// projections starts a server on an empty database, fills it, and projects what it holds.
func (s *setup) projections(ctx context.Context, database string) (figures []figure, err error) {
	binary, err := s.binaryOf(ctx, ours)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "projection-")
	if err != nil {
		return nil, err
	}
	args := []string{"-store", "FILE", "-dir", dir}
	if database != "sqlite" {
		source, err := s.database(database, filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		args = []string{"-store", "SQL", "-sql_driver", database, "-sql_source", source}
	}
	port, err := databases.FreePort()
	if err != nil {
		return nil, err
	}
	p, err := s.begin(ctx, ours, readyLine, streamingCommand(binary, append(slices.Clip(args), "-grpc_host", "127.0.0.1", "-grpc_port", fmt.Sprint(port))))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	client, err := eventstore.New(eventstore.Options{URLs: []string{fmt.Sprintf("http://127.0.0.1:%d", port)}})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	count := min(s.n, projectionMeasures)
	last, err := fillProjection(ctx, client, count)
	if err != nil {
		return nil, err
	}
	db, dialect, err := s.projectionDatabase(database, "into_"+filepath.Base(dir))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	began := time.Now()
	read, err := readProjection(ctx, client, last)
	if err == nil && read != count {
		err = fmt.Errorf("%d of %d events", read, count)
	}
	if err != nil {
		return nil, err
	}
	figures = append(figures, figure{projectionRead, float64(count) / time.Since(began).Seconds(), perSecond})
	for i, it := range []struct{ what, more string }{{projectionInsert, ""}, {projectionUpsert, projectionTotals[database]}} {
		file, err := sqlprojection.Parse(fmt.Appendf(nil, projectionFile, fmt.Sprint("bench_", i), it.more))
		if err != nil {
			return figures, err
		}
		rate, err := projectAll(ctx, file, client, db, dialect, count, last)
		if err != nil {
			return figures, err
		}
		figures = append(figures, figure{it.what, rate, perSecond})
	}
	return figures, nil
}

// readProjection counts the events of the source that the projections have.
func readProjection(ctx context.Context, client *eventstore.Client, last uint64) (count int, err error) {
	query := eventstore.AllOf(eventstore.QueryItem{Channels: []string{projectionChannel}, EventTypes: []string{"OrderPlaced"}})
	err = client.SourceAll(query).Receive(ctx, 0, func(batch eventstore.Batch) error {
		if count += len(batch.Events); batch.Checkpoint >= last {
			return eventstore.ErrStop
		}
		return nil
	})
	if errors.Is(err, eventstore.ErrStop) {
		err = nil
	}
	return count, err
}

// projectAll returns how many events a second a projection applies until it has applied all. Its tables are gone afterwards.
func projectAll(ctx context.Context, file *sqlprojection.File, client *eventstore.Client, db *sql.DB, dialect eventstore.Dialect, count int, last uint64) (float64, error) {
	projector, err := file.Projector(client, db, dialect)
	if err != nil {
		return 0, err
	}
	running, done := context.WithCancel(ctx)
	defer done()
	projector.CaughtUp = done
	began := time.Now()
	if err := projector.Run(running); ctx.Err() != nil || running.Err() == nil {
		return 0, err
	}
	took := time.Since(began)
	at, err := projector.Checkpoint(ctx)
	if err == nil && at < last {
		err = fmt.Errorf("it ended at %d of %d", at, last)
	}
	var rows int
	if err == nil {
		err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM orders").Scan(&rows)
	}
	if err == nil && rows != count {
		err = fmt.Errorf("%d of %d rows", rows, count)
	}
	for _, text := range []string{"DROP VIEW orders", "DROP VIEW customers", "DROP TABLE orders_1", "DROP TABLE customers_1"} {
		if err == nil {
			_, err = db.ExecContext(ctx, text)
		}
	}
	return float64(count) / took.Seconds(), err
}

// projectionDatabase opens an empty database, as durable as the server's.
func (s *setup) projectionDatabase(kind, name string) (*sql.DB, eventstore.Dialect, error) {
	driver, source := kind, s.sqliteSource(name+".db")+"&_txlock=immediate"
	if kind != "sqlite" {
		var err error
		if source, err = s.database(kind, name); err != nil {
			return nil, 0, err
		}
	}
	dialect, err := eventstore.ParseDialect(driver)
	if err != nil {
		return nil, 0, err
	}
	db, err := sql.Open(driver, source)
	return db, dialect, err
}

// fillProjection appends events, and returns the position of the last one.
func fillProjection(ctx context.Context, client *eventstore.Client, count int) (last uint64, err error) {
	for sent := 0; sent < count; {
		var list []eventstore.NewEvent
		for ; len(list) < projectionAppend && sent < count; sent++ {
			data := fmt.Sprintf(`{"customer":"c-%d","total":%d.%02d,"currency":"EUR","lines":[{"product":"p-%d","quantity":2}]`, sent%100, sent%500, sent%100, sent%1000)
			data += `,"note":"` + strings.Repeat("x", max(projectionBytes-len(data)-100, 0)) + `"}` // the envelope takes the rest
			list = append(list, eventstore.NewEvent{Type: "OrderPlaced", AggregateType: "Order", AggregateID: fmt.Sprintf("order-%012d", sent), Payload: []byte(data), ContentType: "application/json"})
		}
		at, err := client.Append(ctx, projectionChannel, list)
		if err != nil {
			return 0, err
		}
		last = at[len(at)-1].Position
	}
	return last, nil
}
