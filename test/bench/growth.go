package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const microseconds = "µs"

// growthTrials measure what an operation costs among many of its kind: a cost that grows with them is quadratic in all.
func growthTrials(s *setup, ctx context.Context) ([]trial, error) {
	counts := []int{10, 100, 1000}
	if s.full {
		counts = append(counts, 10_000)
	}
	var all []trial
	for _, id := range s.chosen() {
		if id.name != ours && id.name != before {
			continue
		}
		p, err := s.peer(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id.on(), err)
		}
		c := p.(*streaming)
		for _, count := range counts {
			for _, g := range []struct {
				what string
				take func(context.Context, int) ([]figure, error)
			}{{"channels", c.growChannels}, {"subscriptions of a channel", c.growSubscriptions}, {"unacknowledged messages of a subscription", c.growPending}} {
				all = append(all, trial{measure.Count(count) + " " + g.what, id, eventBytes, func(ctx context.Context) ([]figure, error) {
					return g.take(ctx, count)
				}})
			}
		}
	}
	return all, nil
}

// each is what one of n operations took.
func each(what string, took time.Duration, n int) figure {
	return figure{what, float64(took.Nanoseconds()) / 1e3 / float64(n), microseconds}
}

// grownMessages are about how many messages are published or delivered to measure what one costs.
const grownMessages = 20_000

// growChannels publishes to so many new channels in turn.
func (c *streaming) growChannels(ctx context.Context, count int) ([]figure, error) {
	conn, err := c.connect(wideWindow)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what was measured is over
	prefix := "eventstore.grow." + strconv.FormatInt(c.ids.Add(1), 10) + "."
	round := func(n int) (time.Duration, error) {
		start := time.Now()
		err := publishTo(ctx, conn, n, templateOf(eventBytes), func(i int) string { return prefix + strconv.Itoa(i%count) })
		return time.Since(start), err
	}
	first, err := round(count)
	if err != nil {
		return nil, err
	}
	n := max(grownMessages, count)
	next, err := round(n)
	return []figure{each("first event of a channel", first, count), each("next event", next, n)}, err
}

// publishTo returns when n events are acknowledged.
func publishTo(ctx context.Context, conn stan.Conn, n int, of *template, channel func(int) string) error {
	return publishMade(ctx, conn, n, of.next, channel)
}

// publishMade is publishTo of events that next writes into a buffer.
func publishMade(ctx context.Context, conn stan.Conn, n int, next func([]byte) []byte, channel func(int) string) error {
	var acks sync.WaitGroup
	var failure atomic.Pointer[error]
	var payload []byte
	for i := range n {
		payload = next(payload)
		acks.Add(1)
		if _, err := conn.PublishAsync(channel(i), payload, func(_ string, err error) {
			if err != nil {
				failure.CompareAndSwap(nil, &err)
			}
			acks.Done()
		}); err != nil {
			return err
		}
	}
	acks.Wait()
	if err := failure.Load(); err != nil {
		return fmt.Errorf("publish: %w", *err)
	}
	return ctx.Err()
}

// growSubscriptions has so many subscriptions of ten connections receive what is published to their channel.
func (c *streaming) growSubscriptions(ctx context.Context, count int) ([]figure, error) {
	conns, leave, err := c.connectAll(10, wideWindow)
	if err != nil {
		return nil, err
	}
	defer leave()
	channel := "eventstore.grow." + strconv.FormatInt(c.ids.Add(1), 10)
	var received atomic.Int64
	n := max(1, grownMessages/count)
	done := make(chan struct{})
	subs := make([][]stan.Subscription, len(conns))
	inParallel := func(do func(i int) error) (time.Duration, error) {
		start := time.Now()
		failed := make(chan error, len(conns))
		for i := range conns {
			go func() { failed <- do(i) }()
		}
		var first error
		for range conns {
			if err := <-failed; first == nil {
				first = err
			}
		}
		return time.Since(start), first
	}
	joined, err := inParallel(func(i int) error {
		for range count / len(conns) {
			sub, err := conns[i].Subscribe(channel, func(*stan.Msg) {
				if received.Add(1) == int64(n*count) {
					close(done)
				}
			})
			if err != nil {
				return err
			}
			subs[i] = append(subs[i], sub)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := publishTo(ctx, conns[0], n, templateOf(eventBytes), func(int) string { return channel }); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case <-time.After(leaveAfter):
		return nil, fmt.Errorf("%d of %d deliveries after %v", received.Load(), n*count, leaveAfter)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	delivered := time.Since(start)
	left, err := inParallel(func(i int) error {
		for _, sub := range subs[i] {
			if err := sub.Unsubscribe(); err != nil {
				return err
			}
		}
		return nil
	})
	return []figure{each("subscribe", joined, count), each("delivery", delivered, n*count), each("unsubscribe", left, count)}, err
}

// growPending keeps so many messages of one subscriber unacknowledged: each new one has a random older one acknowledged.
func (c *streaming) growPending(ctx context.Context, count int) ([]figure, error) {
	conn, err := c.connect(wideWindow)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // what was measured is over
	channel := "eventstore.grow." + strconv.FormatInt(c.ids.Add(1), 10)
	n := grownMessages + count
	if err := publishTo(ctx, conn, n, templateOf(eventBytes), func(int) string { return channel }); err != nil {
		return nil, err
	}
	var held []*stan.Msg
	received := 0
	var full time.Time // when so many were unacknowledged
	done := make(chan error, 1)
	sub, err := conn.Subscribe(channel, func(m *stan.Msg) {
		received++
		held = append(held, m)
		if received == count {
			full = time.Now()
		}
		if received >= count {
			i := rand.IntN(len(held))
			if err := held[i].Ack(); err != nil {
				done <- err
			}
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
		if received == n {
			done <- nil
		}
	}, stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.MaxInflight(count), stan.AckWait(leaveAfter))
	if err != nil {
		return nil, err
	}
	select {
	case err = <-done:
	case <-time.After(leaveAfter):
		err = fmt.Errorf("no end after %v", leaveAfter)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	took := time.Since(full)
	return []figure{each("delivery and ack", took, grownMessages)}, sub.Unsubscribe()
}
