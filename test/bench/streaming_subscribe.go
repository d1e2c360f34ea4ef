package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/stan.go"
)

// A reader is a subscriber that checks that no sequence is missing.
type reader struct {
	first  uint64        // sequence that it begins with; 0: any
	last   atomic.Uint64 // sequence delivered so far, all before it were
	target atomic.Uint64 // done when it was delivered
	done   chan error    // one slot
	sub    stan.Subscription
}

func (r *reader) receive(m *stan.Msg) {
	last := r.last.Load()
	switch {
	case last == 0 && (r.first == 0 || r.first == m.Sequence), last != 0 && m.Sequence == last+1:
	case m.Sequence <= last: // a redelivery
		return
	default:
		r.finish(fmt.Errorf("sequence %d follows %d", m.Sequence, last))
		return
	}
	r.last.Store(m.Sequence)
	r.check()
}

// check ends the wait if the target is reached.
func (r *reader) check() {
	if target := r.target.Load(); target > 0 && r.last.Load() >= target {
		r.finish(nil)
	}
}

func (r *reader) finish(err error) {
	select {
	case r.done <- err:
	default: // the end was told
	}
}

// subscribe receives from a first sequence until the target; 0 is any and none.
func (c *streaming) subscribe(conn stan.Conn, channel string, first, target uint64, o ...stan.SubscriptionOption) (*reader, error) {
	r := &reader{first: first, done: make(chan error, 1)}
	r.target.Store(target)
	var err error
	r.sub, err = conn.Subscribe(channel, r.receive, append(o, stan.MaxInflight(replayWindow))...)
	return r, err
}

// replay reads from the first message, as many as the limits allow, and checks that none is missing. Each subscriber
// has its own connection.
func (c *streaming) replay(ctx context.Context, l load, size int) (float64, error) {
	conns, leave, err := c.connectAll(l.subscribers, 1)
	if err != nil {
		return 0, err
	}
	defer leave()
	target := min(uint64(c.n), c.stored[size].Load())
	if target == 0 {
		return 0, errors.New("nothing was published (section publish)")
	}
	readers := make([]*reader, len(conns))
	start := time.Now()
	for i, conn := range conns {
		o := []stan.SubscriptionOption{stan.DeliverAllAvailable()}
		if l.durable {
			o = append(o, stan.DurableName("bench-"+strconv.FormatInt(c.ids.Load(), 10)))
		}
		if readers[i], err = c.subscribe(conn, channelOf(size), 1, target, o...); err != nil {
			return 0, err
		}
	}
	end := time.NewTimer(c.limit)
	defer end.Stop()
	late := false
	for _, r := range readers {
		if late {
			break
		}
		select {
		case e := <-r.done:
			err = errors.Join(err, e)
		case <-end.C:
			late = true
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	var n uint64
	for _, r := range readers {
		n += r.last.Load()
	}
	took := time.Since(start)
	if n == 0 {
		err = errors.Join(err, errors.New("no message arrived"))
	}
	if l.durable {
		for _, r := range readers {
			err = errors.Join(err, r.sub.Unsubscribe())
		}
	}
	if err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	return float64(n) / took.Seconds(), nil
}

// publishLive publishes until all subscribers have received all events.
func (c *streaming) publishLive(ctx context.Context, l load, size int) (float64, error) {
	conns, leave, err := c.connectAll(l.publishers+l.subscribers, l.window)
	if err != nil {
		return 0, err
	}
	defer leave()
	publishers := conns[:l.publishers]
	var readers []*reader
	for _, conn := range conns[l.publishers:] {
		r, err := c.subscribe(conn, channelOf(size), 0, 0)
		if err != nil {
			return 0, err
		}
		readers = append(readers, r)
	}
	return grow(c.options, c.counts, loadSize{l.name, size}, func(n int) (time.Duration, error) {
		start := time.Now()
		if err := c.publishAll(ctx, publishers, n, size); err != nil {
			return 0, err
		}
		for _, r := range readers {
			if err := r.wait(ctx, c.stored[size].Load()); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	})
}

// wait returns when a sequence was received.
func (r *reader) wait(ctx context.Context, target uint64) error {
	r.target.Store(target)
	defer r.target.Store(0)
	r.check()
	patience := time.After(leaveAfter)
	for {
		select {
		case err := <-r.done: // of an earlier target, perhaps
			if err != nil || r.last.Load() >= target {
				return err
			}
		case <-patience:
			return fmt.Errorf("subscriber has received sequence %d of %d after %v", r.last.Load(), target, leaveAfter)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
