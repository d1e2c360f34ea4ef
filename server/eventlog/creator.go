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

// creatorNames bounds the channels that one transaction creates: it holds the database's write lock, for which the writer
// waits.
const creatorNames = 64

// channelStore creates channels. With an error, it returns those that there are nevertheless, by name.
type channelStore interface {
	CreateChannels(ctx context.Context, names []string) (map[string]*stores.Channel, error)
}

// creator creates channels, on one goroutine, many in one transaction. Nobody waits for the channels of others.
type creator struct {
	store    channelStore
	channels *registry
	timeout  time.Duration // of one transaction, while the database is unavailable
	added    func(*stores.Channel) *Channel
	failed   func(error) // told of errors that affect more than one channel
	log      *slog.Logger
	wake     chan struct{} // one slot: something is wanted

	mu      sync.Mutex // guards what follows
	wanted  map[string]*request
	order   turns[*request] // those of wanted that are not being created, by who wants them
	stopped bool
}

// request is a channel to be created.
type request struct {
	name  string
	from  string    // who wanted it first
	until time.Time // somebody waits for it
	done  []func(*Channel, error)
}

// want creates a channel for somebody, unless that takes until after a time. Then it calls done, on the goroutine of the creator.
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

// run creates channels until ctx ends. What is not created then has ErrStopped.
func (c *creator) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			c.stop()
			return
		case <-c.wake:
		}
		if batch := c.take(); len(batch) > 0 {
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

// take removes the next requests. Those that cannot be fulfilled, or for which nobody waits any more, it answers.
func (c *creator) take() []*request {
	now := time.Now()
	var batch, overdue []*request
	c.mu.Lock()
	for c.order.len() > 0 && len(batch) < creatorNames {
		r := c.order.pop()
		if r.until.After(now) {
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

// create creates the channels of requests. While the database is unavailable they stay wanted.
func (c *creator) create(ctx context.Context, batch []*request) {
	batch = c.admit(batch)
	if len(batch) == 0 {
		return
	}
	names := make([]string, len(batch))
	for i, r := range batch {
		names[i] = r.name
	}
	bounded, cancel := context.WithDeadline(ctx, later(c.earliest(batch), time.Now().Add(c.timeout/leastShare)))
	defer cancel()
	created, err := c.store.CreateChannels(bounded, names)
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
		c.again(left)
		c.mu.Unlock()
		return
	}
	if len(batch) > 1 { // it may be about one of them
		for _, r := range left {
			c.create(ctx, []*request{r})
		}
		return
	}
	c.failed(err)
	c.answer(left[0], nil, err) // it names the channel
}

// again keeps requests for later. The caller holds c.mu.
func (c *creator) again(batch []*request) {
	for _, r := range batch {
		c.order.push(r.from, r)
	}
}

// earliest returns when the first of some requests is due.
func (c *creator) earliest(batch []*request) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := batch[0].until
	for _, r := range batch[1:] {
		if r.until.Before(until) {
			until = r.until
		}
	}
	return until
}

// admit answers the requests that are fulfilled or refused already, and returns the others. No two of them differ by
// letter case alone, and they are no more than the limit of channels allows.
func (c *creator) admit(batch []*request) []*request {
	var admitted, again []*request
	lower := make(map[string]bool)
	for _, r := range batch {
		ch, err := c.channels.find(r.name)
		switch {
		case ch != nil || err != nil:
			c.answer(r, ch, err)
		case lower[strings.ToLower(r.name)] || !c.channels.hasRoom(len(admitted)):
			again = append(again, r)
		default:
			lower[strings.ToLower(r.name)] = true
			admitted = append(admitted, r)
		}
	}
	if len(again) > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.again(again)
	}
	return admitted
}

// answer tells all who wanted a channel.
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
