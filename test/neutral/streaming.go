package main

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

// reference is NATS Streaming.
type reference struct {
	*program
	clients atomic.Int64
}

// unlimited is what ours is by itself.
var unlimited = []string{"-mm", "0", "-mb", "0"}

func startReference(ctx context.Context, at *place) (store, error) {
	binary, err := upstream.Build(ctx)
	if err != nil {
		return nil, err
	}
	source, err := at.database()
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("postgres", source)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := upstream.CreateTables(ctx, "postgres", db); err != nil {
		return nil, err
	}
	p, err := newProgram(ctx, at, "reference", binary, source, append(slices.Clip(unlimited), "-sql_no_caching")...)
	return &reference{program: p}, err
}

func startReferenceFile(ctx context.Context, at *place) (store, error) {
	binary, err := upstream.Build(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := at.folder()
	if err != nil {
		return nil, err
	}
	p, err := newProgram(ctx, at, "reference-file", binary, "", append(slices.Clip(unlimited), "-store", "FILE", "-dir", dir, "-file_sync")...)
	return &reference{program: p}, err
}

const streamingTimeout = 30 * time.Second

func (r *reference) connect(context.Context) (client, error) {
	conn, err := stan.Connect(cluster, "neutral-"+strconv.FormatInt(r.clients.Add(1), 10), stan.NatsURL(r.running.URL),
		stan.NatsOptions(nats.NoReconnect()), stan.ConnectWait(streamingTimeout), stan.PubAckWait(streamingTimeout))
	return &streamingClient{conn}, err
}

type streamingClient struct{ stan.Conn }

func (c *streamingClient) append(ctx context.Context, to stream, at version, events [][]byte) (version, error) {
	if at != anyVersion {
		return 0, errLacks
	}
	for _, data := range events {
		acknowledged := make(chan error, 1)
		if _, err := c.PublishAsync(channelOf(to.category), data, func(_ string, err error) { acknowledged <- err }); err != nil {
			return 0, err
		}
		select { // as Publish, which knows no context
		case err := <-acknowledged:
			if err != nil {
				return 0, err
			}
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return anyVersion, nil
}

func (c *streamingClient) call(ctx context.Context) error { return c.NatsConn().FlushWithContext(ctx) }

func (*streamingClient) read(context.Context, stream, int) ([][]byte, error) { return nil, errLacks }
func (*streamingClient) head(context.Context, stream) (version, error)       { return 0, errLacks }
func (*streamingClient) category(context.Context, string, int) ([][]byte, error) {
	return nil, errLacks
}

func (c *streamingClient) follow(ctx context.Context, category string, handle func([]byte) error) error {
	return received(ctx, handle, func(receive func([]byte)) (stop func(), err error) {
		sub, err := c.Subscribe(channelOf(category), func(m *stan.Msg) { receive(m.Data) }, stan.DeliverAllAvailable())
		return func() { _ = sub.Unsubscribe() }, err // the connection may be gone
	})
}

// received gives what a library's callback receives to handle until that returns an error or ctx ends.
func received(ctx context.Context, handle func([]byte) error, subscribe func(receive func([]byte)) (stop func(), err error)) error {
	ended := make(chan error, 1)
	var over bool // of the callback's goroutine
	stop, err := subscribe(func(data []byte) {
		if over {
			return
		}
		if err := handle(data); err != nil {
			over = true
			ended <- err
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *streamingClient) close() { _ = c.Close() } // the server may be gone
