package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// creatorNames bounds the channels that one transaction creates, since it holds a lock that the writer waits for.
const creatorNames = 64

// channelStore creates channels. Even with an error, it returns by name those that exist.
type channelStore interface {
	CreateChannels(ctx context.Context, names []string) (map[string]*stores.Channel, error)
}

// creator creates channels on its own goroutine, many in one transaction, so that other channels need not wait.
type creator struct {
	store    channelStore
	channels *registry
	timeout  time.Duration // of one transaction while the database is unavailable
	added    func(*stores.Channel) *Channel
	failed   func(error) // called for errors that affect more than one channel
	log      *slog.Logger
	wake     chan struct{} // one slot: requests are waiting

	mu      sync.Mutex // guards the fields below
	wanted  map[string]*request
	order   turns[*request] // wanted, without those being created, by who wants them
	stopped bool
	failing bool // the database did not create the last channels
}

// request is a channel to be created.
type request struct {
	name  string
	from  string    // who wanted it first
	until time.Time // the latest deadline of its callers
	done  []func(*Channel, error)
}

// want creates a channel for from unless that takes past until. Either way it calls done, usually on run's goroutine.
func (c *creator) want(from, name string, until time.Time, done func(*Channel, error)) {
	c.mu.Lock()
	if c.stopped {
		c.mu.Unlock()
		done(nil, ErrStopped)
		return
	}
	defer c.mu.Unlock()
	r := c.wanted[name]
	if r == nil {
		r = &request{name: name, from: from}
		c.wanted[name] = r
		c.order.push(from, r)
	}
	if until.After(r.until) {
		r.until = until
	}
	r.done = append(r.done, done)
	signal(c.wake)
}

// run creates channels until ctx ends. Remaining requests then fail with ErrStopped.
func (c *creator) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.stop()
			return
		case <-c.wake:
		}
		if batch := c.nextBatch(); len(batch) > 0 {
			c.create(ctx, batch)
			signal(c.wake)
		}
	}
}

func (c *creator) stop() {
	c.mu.Lock()
	c.stopped = true
	left := c.wanted
	c.wanted, c.order = nil, turns[*request]{}
	c.mu.Unlock()
	for _, r := range left {
		r.answer(nil, ErrStopped)
	}
}

// nextBatch removes the next requests from the order and answers those that are overdue.
func (c *creator) nextBatch() []*request {
	now := time.Now()
	var batch, overdue []*request
	c.mu.Lock()
	for c.order.len() > 0 && len(batch) < creatorNames {
		r := c.order.pop()
		if !c.failing || r.until.After(now) {
			batch = append(batch, r)
		} else {
			overdue = append(overdue, r)
			delete(c.wanted, r.name)
		}
	}
	c.mu.Unlock()
	for _, r := range overdue {
		r.answer(nil, fmt.Errorf("create channel %q: %w", r.name, stores.ErrUnavailable))
	}
	return batch
}

// create creates the channels of a batch. While the database is unavailable, they stay wanted.
func (c *creator) create(ctx context.Context, batch []*request) {
	batch = c.admit(batch)
	if len(batch) == 0 {
		return
	}
	names := make([]string, len(batch))
	for i, r := range batch {
		names[i] = r.name
	}
	due, failing := c.earliest(batch)
	bounded, cancel := context.WithDeadline(ctx, transactionDeadline(due, c.timeout, failing))
	defer cancel()
	created, err := c.store.CreateChannels(bounded, names)
	c.mu.Lock()
	c.failing = errors.Is(err, stores.ErrUnavailable)
	c.mu.Unlock()
	var left []*request
	for _, r := range batch {
		if stored := created[r.name]; stored != nil {
			c.log.Info(fmt.Sprintf("Channel %q has been created", r.name))
			c.answer(r, c.added(stored), nil)
		} else {
			left = append(left, r)
		}
	}
	if err == nil || len(left) == 0 {
		return
	}
	if errors.Is(err, stores.ErrUnavailable) {
		c.failed(err)
		c.mu.Lock()
		c.postpone(left)
		c.mu.Unlock()
		return
	}
	if len(batch) > 1 { // the error may concern only one of them
		for _, r := range left {
			c.create(ctx, []*request{r})
		}
		return
	}
	c.failed(err)
	c.answer(left[0], nil, err) // the error names the channel
}

// postpone puts requests back in the order. The caller holds c.mu.
func (c *creator) postpone(batch []*request) {
	for _, r := range batch {
		c.order.push(r.from, r)
	}
}

// earliest returns the earliest deadline of a batch, and whether the database is failing.
func (c *creator) earliest(batch []*request) (due time.Time, failing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	due = batch[0].until
	for _, r := range batch[1:] {
		if r.until.Before(due) {
			due = r.until
		}
	}
	return due, c.failing
}

// admit answers requests whose channel exists or is refused, and returns the others. It postpones requests that differ
// from another only in case, and those beyond the limit of channels.
func (c *creator) admit(batch []*request) []*request {
	var admitted, postponed []*request
	lower := make(map[string]bool)
	for _, r := range batch {
		ch, err := c.channels.find(r.name)
		switch {
		case ch != nil || err != nil:
			c.answer(r, ch, err)
		case lower[strings.ToLower(r.name)] || !c.channels.hasRoom(len(admitted)):
			postponed = append(postponed, r)
		default:
			lower[strings.ToLower(r.name)] = true
			admitted = append(admitted, r)
		}
	}
	if len(postponed) > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.postpone(postponed)
	}
	return admitted
}

// answer calls everyone who wanted the channel.
func (c *creator) answer(r *request, ch *Channel, err error) {
	c.mu.Lock()
	delete(c.wanted, r.name)
	c.mu.Unlock()
	r.answer(ch, err)
}

func (r *request) answer(ch *Channel, err error) {
	for _, f := range r.done {
		f(ch, err)
	}
}
