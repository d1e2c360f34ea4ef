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

const (
	ackTimeout = time.Minute
	leaveAfter = time.Minute // how long the last message of a load may take
)

func channelOf(size int) string { return "eventstore.bench-" + strconv.Itoa(size) }

// streaming is a peer that unmodified stan.go is a client of.
type streaming struct {
	options
	*program
	ids    atomic.Int64           // client IDs and durables used so far
	counts map[loadSize]int       // messages that a publish takes about the time limit for
	stored map[int]*atomic.Uint64 // acknowledged messages by size
}

func newStreaming(p *program, o options) *streaming {
	return &streaming{program: p, options: o, counts: map[loadSize]int{}, stored: map[int]*atomic.Uint64{}}
}

func (c *streaming) run(ctx context.Context, l load, size int) (float64, error) {
	if c.stored[size] == nil {
		c.stored[size] = &atomic.Uint64{}
	}
	switch l.kind {
	case publishSync:
		return c.publishSync(ctx, l.publishers, size)
	case publishLive:
		return c.publishLive(ctx, l, size)
	case replay:
		return c.replay(ctx, l, size)
	}
	return c.publishAsync(ctx, l, size)
}

func (c *streaming) connect(window int) (stan.Conn, error) {
	return stan.Connect(cluster, "bench-"+strconv.FormatInt(c.ids.Add(1), 10), stan.NatsURL(c.URL),
		stan.MaxPubAcksInflight(window), stan.PubAckWait(ackTimeout), stan.ConnectWait(ackTimeout))
}

func (c *streaming) connectAll(n, window int) (conns []stan.Conn, leave func(), err error) {
	leave = func() {
		var wg sync.WaitGroup
		for _, conn := range conns {
			wg.Go(func() { _ = conn.Close() }) // what was measured is over
		}
		wg.Wait()
	}
	for range n {
		conn, err := c.connect(window)
		if err != nil {
			leave()
			return nil, nil, err
		}
		conns = append(conns, conn)
	}
	return conns, leave, nil
}

// publishAsync grows the number of messages until they take long enough, at its first call, and keeps to that number.
func (c *streaming) publishAsync(ctx context.Context, l load, size int) (float64, error) {
	conns, leave, err := c.connectAll(l.publishers, l.window/l.publishers)
	if err != nil {
		return 0, err
	}
	defer leave()
	return grow(c.options, c.counts, loadSize{l.name, size}, func(n int) (time.Duration, error) {
		start := time.Now()
		err := c.publishAll(ctx, conns, n, size)
		return time.Since(start), err
	})
}

// publishAll returns when all of n events are acknowledged.
func (c *streaming) publishAll(ctx context.Context, conns []stan.Conn, n, size int) error {
	var wg sync.WaitGroup
	errs := make([]error, len(conns))
	for i, conn := range conns {
		wg.Go(func() {
			part := n / len(conns)
			if i == 0 {
				part += n % len(conns)
			}
			errs[i] = c.publishPart(ctx, conn, part, size)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *streaming) publishPart(ctx context.Context, conn stan.Conn, n, size int) error {
	channel, events, stored := channelOf(size), templateOf(size), c.stored[size]
	var acks atomic.Int64
	var failure atomic.Pointer[error]
	done := make(chan struct{})
	ack := func(_ string, err error) {
		if err != nil {
			failure.CompareAndSwap(nil, &err)
		} else {
			stored.Add(1)
		}
		if acks.Add(1) == int64(n) {
			close(done)
		}
	}
	var payload []byte // the client copies it
	for range n {
		payload = events.next(payload)
		if _, err := conn.PublishAsync(channel, payload, ack); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := failure.Load(); err != nil {
		return fmt.Errorf("publish: %w", *err)
	}
	return nil
}

// publishSync lets publishers with a connection each publish for the time limit, one message after the other.
func (c *streaming) publishSync(ctx context.Context, publishers, size int) (float64, error) {
	conns, leave, err := c.connectAll(publishers, 1)
	if err != nil {
		return 0, err
	}
	defer leave()
	channel, events, stored := channelOf(size), templateOf(size), c.stored[size]
	var n atomic.Int64
	errs := make([]error, publishers)
	start := time.Now()
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			var payload []byte
			for time.Since(start) < c.limit && ctx.Err() == nil {
				payload = events.next(payload)
				if err := conn.Publish(channel, payload); err != nil {
					errs[i] = fmt.Errorf("publish: %w", err)
					return
				}
				n.Add(1)
				stored.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	return float64(n.Load()) / took.Seconds(), errors.Join(append(errs, ctx.Err())...)
}
