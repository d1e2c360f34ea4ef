package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go"
)

// The rows of the table, in the order in which they are measured: a replay
// reads what was published before.
const (
	asyncWide    = "asynchronous publish, 16,384 in flight"
	asyncNarrow  = "asynchronous publish, 1,024 in flight"
	sync1        = "synchronous publish, 1 publisher"
	sync64       = "synchronous publish, 64 publishers"
	replayNamed  = "replay, durable subscriber"
	replayPlain  = "replay, plain subscriber"
	channel      = "eventstore.bench"
	publishers   = 64
	ackTimeout   = time.Minute
	replayWindow = 1024
)

var measures = []string{asyncWide, asyncNarrow, sync1, sync64, replayNamed, replayPlain}

// A workload measures one server or database. What measure returns is nil if
// there is nothing to compare.
type workload interface {
	measure(name string) func(context.Context) (float64, error)
}

// client is a workload of unmodified stan.go.
type client struct {
	url string
	options
	ids    int            // client IDs and durables used so far
	size   map[string]int // messages that a publish takes about the time limit for
	stored atomic.Uint64  // acknowledged
}

func newClient(url string, o options) *client {
	return &client{url: url, options: o, size: map[string]int{}}
}

func (c *client) measure(name string) func(context.Context) (float64, error) {
	switch name {
	case asyncWide:
		return func(ctx context.Context) (float64, error) { return c.publishAsync(ctx, name, 16384) }
	case asyncNarrow:
		return func(ctx context.Context) (float64, error) { return c.publishAsync(ctx, name, 1024) }
	case sync1:
		return func(ctx context.Context) (float64, error) { return c.publishSync(ctx, 1) }
	case sync64:
		return func(ctx context.Context) (float64, error) { return c.publishSync(ctx, publishers) }
	case replayNamed:
		return func(ctx context.Context) (float64, error) { return c.replay(ctx, true) }
	case replayPlain:
		return func(ctx context.Context) (float64, error) { return c.replay(ctx, false) }
	}
	return nil
}

func (c *client) connect(window int) (stan.Conn, error) {
	c.ids++
	return stan.Connect(cluster, "bench-"+strconv.Itoa(c.ids), stan.NatsURL(c.url),
		stan.MaxPubAcksInflight(window), stan.PubAckWait(ackTimeout))
}

func leave(conn stan.Conn) {
	_ = conn.Close() // what was measured is over
}

// publishAsync grows the number of messages until they take long enough, at
// its first call, and keeps to that number.
func (c *client) publishAsync(ctx context.Context, name string, window int) (float64, error) {
	conn, err := c.connect(window)
	if err != nil {
		return 0, err
	}
	defer leave(conn)
	for n := max(c.size[name], min(500, c.n)); ; n = min(4*n, c.n) {
		took, err := c.publishAll(ctx, conn, n)
		if err != nil {
			return 0, err
		}
		if c.size[name] != 0 || took >= c.limit/2 || n == c.n {
			c.size[name] = n
			return float64(n) / took.Seconds(), nil
		}
	}
}

// publishAll returns when all of n events are acknowledged.
func (c *client) publishAll(ctx context.Context, conn stan.Conn, n int) (time.Duration, error) {
	var acks atomic.Int64
	var failure atomic.Pointer[error]
	done := make(chan struct{})
	ack := func(_ string, err error) {
		if err != nil {
			failure.CompareAndSwap(nil, &err)
		} else {
			c.stored.Add(1)
		}
		if acks.Add(1) == int64(n) {
			close(done)
		}
	}
	start := time.Now()
	for range n {
		payload, err := newPayload()
		if err != nil {
			return 0, err
		}
		if _, err := conn.PublishAsync(channel, payload, ack); err != nil {
			return 0, err
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	took := time.Since(start)
	if err := failure.Load(); err != nil {
		return 0, fmt.Errorf("publish: %w", *err)
	}
	return took, nil
}

// publishSync lets publishers with a connection each publish for the time
// limit, one message after the other.
func (c *client) publishSync(ctx context.Context, publishers int) (float64, error) {
	conns := make([]stan.Conn, publishers)
	for i := range conns {
		conn, err := c.connect(1)
		if err != nil {
			return 0, err
		}
		defer leave(conn)
		conns[i] = conn
	}
	var n atomic.Int64
	errs := make([]error, publishers)
	start := time.Now()
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			for time.Since(start) < c.limit && ctx.Err() == nil {
				payload, err := newPayload()
				if err == nil {
					err = conn.Publish(channel, payload)
				}
				if err != nil {
					errs[i] = fmt.Errorf("publish: %w", err)
					return
				}
				n.Add(1)
				c.stored.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	return float64(n.Load()) / took.Seconds(), errors.Join(append(errs, ctx.Err())...)
}

// replay reads from the first message, as many as the limits allow, and
// checks that none is missing.
func (c *client) replay(ctx context.Context, durable bool) (float64, error) {
	conn, err := c.connect(1)
	if err != nil {
		return 0, err
	}
	defer leave(conn)
	o := []stan.SubscriptionOption{stan.DeliverAllAvailable(), stan.MaxInflight(replayWindow)}
	if durable {
		o = append(o, stan.DurableName("bench-"+strconv.Itoa(c.ids)))
	}
	target := min(uint64(c.n), c.stored.Load())
	var last atomic.Uint64 // sequence delivered so far, all before it were
	done := make(chan error, 1)
	finish := func(err error) {
		select {
		case done <- err:
		default: // the end was told
		}
	}
	start := time.Now()
	sub, err := conn.Subscribe(channel, func(m *stan.Msg) {
		want := last.Load() + 1
		switch {
		case m.Sequence < want: // a redelivery
			return
		case m.Sequence > want:
			finish(fmt.Errorf("sequence %d follows %d", m.Sequence, want-1))
			return
		}
		last.Store(want)
		if want == target {
			finish(nil)
		}
	}, o...)
	if err != nil {
		return 0, err
	}
	select {
	case err = <-done:
	case <-time.After(c.limit):
	case <-ctx.Done():
		err = ctx.Err()
	}
	n, took := last.Load(), time.Since(start)
	if n == 0 {
		err = errors.Join(err, errors.New("no message arrived"))
	}
	if err := errors.Join(err, sub.Unsubscribe()); err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	return float64(n) / took.Seconds(), nil
}
