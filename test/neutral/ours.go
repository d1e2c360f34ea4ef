package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os/exec"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/launch"
)

// cluster is that of all NATS Streaming servers.
const cluster = "neutral"

// A program is a store that is one program, and perhaps the PostgreSQL under it.
type program struct {
	name, ready string
	dir         string
	command     func(port string) *exec.Cmd
	running     *launch.Program
	postgres    *databases.Server // nil: it has files
	source      string            // of its database
}

func (p *program) restart(ctx context.Context) (err error) {
	if p.postgres != nil && p.running != nil { // not the first start
		if err := p.postgres.Restart(); err != nil {
			return err
		}
	}
	p.running, err = launch.Start(ctx, p.dir, p.name, p.ready, p.command)
	return err
}

func (p *program) settle(ctx context.Context) error {
	if p.source == "" {
		return nil
	}
	return analyze(ctx, p.source)
}

func (p *program) kill() error {
	err := p.running.Kill()
	if p.postgres != nil {
		err = errors.Join(err, p.postgres.Kill())
	}
	return err
}

func (p *program) close() error {
	if p.running == nil {
		return nil
	}
	if err := p.running.Stop(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return nil
}

// newProgram starts a NATS Streaming server on a database or, without a source, with the store that its arguments say.
func newProgram(ctx context.Context, at *place, name, binary string, source string, args ...string) (*program, error) {
	p := &program{name: name, ready: launch.StreamingReady, dir: at.dir, source: source}
	if source != "" {
		p.postgres = at.postgres
		args = append(args, "-store", "SQL", "-sql_driver", "postgres", "-sql_source", source)
	}
	p.command = launch.Streaming(binary, cluster, args)
	return p, p.restart(ctx)
}

// ours is this server.
type ours struct {
	*program
	api string // its URL
}

func startOursOnPostgres(ctx context.Context, at *place) (store, error) {
	source, err := at.database()
	if err != nil {
		return nil, err
	}
	return startOurs(ctx, at, oursPostgres, source)
}

// oursWithSQL is this server whose readers ask the database.
type oursWithSQL struct{ *ours }

func startOursWithSQL(ctx context.Context, at *place) (store, error) {
	o, err := startOursOnPostgres(ctx, at)
	if o == nil {
		return nil, err
	}
	return oursWithSQL{o.(*ours)}, err
}

func (o oursWithSQL) connect(ctx context.Context) (client, error) {
	c, err := o.ours.connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(ctx, o.source)
	if err != nil {
		c.close()
		return nil, err
	}
	return &sqlClient{c.(*oursClient), conn}, nil
}

func startOursOnSQLite(ctx context.Context, at *place) (store, error) {
	dir, err := at.folder()
	if err != nil {
		return nil, err
	}
	return startOurs(ctx, at, oursSQLite, "", "-store", "FILE", "-dir", dir)
}

func startOurs(ctx context.Context, at *place, name, source string, args ...string) (store, error) {
	port, err := databases.FreePort()
	if err != nil {
		return nil, err
	}
	const host = "127.0.0.1"
	api := strconv.Itoa(port)
	p, err := newProgram(ctx, at, name, at.server, source, append(args, "-grpc_host", host, "-grpc_port", api)...)
	return &ours{p, "http://" + net.JoinHostPort(host, api)}, err
}

func (o *ours) connect(context.Context) (client, error) {
	c, err := eventstore.New(eventstore.Options{URLs: []string{o.api}})
	return &oursClient{c}, err
}

type oursClient struct{ *eventstore.Client }

func channelOf(category string) string { return "eventstore." + category }

func (c *oursClient) append(ctx context.Context, to stream, at version, events [][]byte) (version, error) {
	list := make([]eventstore.NewEvent, len(events))
	for i, data := range events {
		list[i] = eventstore.NewEvent{ID: uuid.NewString(), Type: eventType, AggregateType: to.category, AggregateID: to.id, Payload: data}
	}
	var expected []eventstore.Expectation
	if at != anyVersion {
		expected = append(expected, eventstore.AtVersion(to.category, to.id, uint64(at)))
	}
	positions, err := c.Append(ctx, channelOf(to.category), list, expected...)
	var conflict *eventstore.ConflictError
	if errors.As(err, &conflict) {
		return 0, errConflict
	}
	if err != nil {
		return 0, err
	}
	return version(positions[len(positions)-1].Version), nil
}

// call reads behind the last event, where nothing is asked of the database.
func (c *oursClient) call(ctx context.Context) error {
	return c.ReadAll(ctx, eventstore.Query{}, eventstore.ReadOptions{Start: eventstore.FromPosition(math.MaxInt64)}, func(*eventstore.Event) error {
		return errors.New("an event behind the last one")
	})
}

func (c *oursClient) read(ctx context.Context, of stream, limit int) ([][]byte, error) {
	events, err := c.Load(ctx, channelOf(of.category), of.category, of.id, 0)
	var list [][]byte
	for _, e := range events[:min(limit, len(events))] {
		list = append(list, e.Payload)
	}
	return list, err
}

func (c *oursClient) head(ctx context.Context, of stream) (at version, err error) {
	// A channel beside the aggregate makes the server look through the whole channel.
	query := eventstore.AllOf(eventstore.QueryItem{AggregateTypes: []string{of.category}, AggregateIDs: []string{of.id}})
	err = c.ReadAll(ctx, query, eventstore.ReadOptions{Backward: true, Limit: 1}, func(e *eventstore.Event) error {
		at = version(e.Version)
		return nil
	})
	return at, err
}

func (c *oursClient) category(ctx context.Context, name string, limit int) (list [][]byte, err error) {
	query := eventstore.AllOf(eventstore.QueryItem{Channels: []string{channelOf(name)}})
	err = c.ReadAll(ctx, query, eventstore.ReadOptions{Limit: uint64(limit)}, func(e *eventstore.Event) error {
		list = append(list, e.Payload)
		return nil
	})
	return list, err
}

func (c *oursClient) follow(ctx context.Context, category string, handle func([]byte) error) error {
	return c.Replay(ctx, channelOf(category), eventstore.FromBeginning(), eventstore.Filter{}, func(e *eventstore.Event) error {
		return handle(e.Payload)
	})
}

func (c *oursClient) close() { c.Close() }

type sqlClient struct {
	*oursClient
	database *pgx.Conn
}

func (c *sqlClient) call(ctx context.Context) error { return ask(ctx, c.database) }

func (c *sqlClient) read(ctx context.Context, of stream, limit int) ([][]byte, error) {
	return dataOf(c.database.Query(ctx, "SELECT event_data::text FROM events WHERE aggregate_id = $1 AND aggregate_type = $2 ORDER BY event_version LIMIT $3", of.id, of.category, limit))
}

func (c *sqlClient) head(ctx context.Context, of stream) (version, error) {
	var v int64
	err := c.database.QueryRow(ctx, "SELECT coalesce(max(event_version), 0) FROM events WHERE aggregate_id = $1 AND aggregate_type = $2", of.id, of.category).Scan(&v)
	return version(v), err
}

func (c *sqlClient) category(ctx context.Context, name string, limit int) ([][]byte, error) {
	return dataOf(c.database.Query(ctx, "SELECT event_data::text FROM events WHERE channel = $1 ORDER BY sequence LIMIT $2", channelOf(name), limit))
}

func (c *sqlClient) close() {
	c.oursClient.close()
	_ = c.database.Close(context.Background()) // nothing is under way
}
