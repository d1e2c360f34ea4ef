package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// pollInterval is how long a follower in SQL waits when there is nothing new.
const pollInterval = 10 * time.Millisecond

// pageSize is how many events a follower in SQL asks for.
const pageSize = 1000

// inPostgres is a store that is tables and functions in a database.
type inPostgres struct {
	server *databases.Server
	source string
	client func(*pgx.Conn) client
}

func (s *inPostgres) connect(ctx context.Context) (client, error) {
	conn, err := pgx.Connect(ctx, s.source)
	if err != nil {
		return nil, err
	}
	return s.client(conn), nil
}

func (s *inPostgres) settle(ctx context.Context) error { return analyze(ctx, s.source) }
func (s *inPostgres) kill() error                      { return s.server.Kill() }
func (s *inPostgres) restart(context.Context) error    { return s.server.Restart() }
func (s *inPostgres) close() error                     { return nil } // the place stops the server

// ask is a call of PostgreSQL.
func ask(ctx context.Context, c *pgx.Conn) error { return c.QueryRow(ctx, "SELECT 1").Scan(new(int)) }

// poll calls page, which returns how many events it has handled, again and again, at once after a full one.
func poll(ctx context.Context, page func() (int, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		n, err := page()
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
