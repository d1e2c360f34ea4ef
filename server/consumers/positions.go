package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// stopGrace bounds the last write if the database was unavailable before.
const stopGrace = time.Second

// saver is what positions needs of the store.
type saver interface {
	SaveConsumers(ctx context.Context, changes stores.ConsumerChanges) error
	Channel(name string) *stores.Channel
}

// refusedPause is how long a group that the database refused waits until it is tried again, unless a request does.
const refusedPause = 10 * time.Second

// positions writes what became of groups, and nobody else does: all changes of an interval in one transaction, or at once
// when a request waits for them. What it could not write stays to be written.
type positions struct {
	store    saver
	interval time.Duration
	timeout  time.Duration // of one write, while the database is unavailable
	metrics  Metrics
	log      *slog.Logger

	// wake has one slot and carries no data: a request waits.
	wake chan struct{}
	// writing is held during a write.
	writing sync.Mutex

	mu      sync.Mutex // guards what follows
	dirty   map[*Group]struct{}
	waiters map[*Group][]*waiter
	refused map[*Group]time.Time // when the database refused it last
	lastErr error                // of the last write, nil if it succeeded
	stopped bool
}

// waiter is a request that waits until what changed is on record.
type waiter struct{ done chan error }

func newPositions(store saver, o *Options, m Metrics, log *slog.Logger) *positions {
	return &positions{
		store:    store,
		interval: o.Interval,
		timeout:  o.StoreTimeout,
		metrics:  m,
		log:      log,
		wake:     make(chan struct{}, 1),
		dirty:    make(map[*Group]struct{}),
		waiters:  make(map[*Group][]*waiter),
		refused:  make(map[*Group]time.Time),
	}
}

// add marks a group that has changes.
func (p *positions) add(g *Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty[g] = struct{}{}
}

// wait returns when what has changed of a group so far is on record, or ctx ends. The error says why it is not on record yet.
func (p *positions) wait(ctx context.Context, g *Group) error {
	w := &waiter{done: make(chan error, 1)}
	p.mu.Lock()
	if _, pending := p.dirty[g]; p.stopped {
		p.mu.Unlock()
		if !pending {
			return nil // it was in the last write
		}
		return errStopped
	}
	p.dirty[g] = struct{}{}
	p.waiters[g] = append(p.waiters[g], w)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return p.reason(context.Cause(ctx))
	}
}

// reason is the error of a request whose time is over.
func (p *positions) reason(ended error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastErr != nil {
		return fmt.Errorf("%w (%w)", p.lastErr, ended)
	}
	return fmt.Errorf("%w: %w", stores.ErrUnavailable, ended)
}

// run writes until ctx ends, and then a last time.
func (p *positions) run(ctx context.Context) {
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			p.write(ctx, p.timeout)
		case <-p.wake:
			p.write(ctx, p.timeout)
		}
	}
	p.mu.Lock()
	p.stopped = true
	clear(p.refused)
	timeout := p.timeout
	if p.lastErr != nil {
		timeout = min(timeout, stopGrace)
	}
	p.mu.Unlock()
	p.write(context.WithoutCancel(ctx), timeout)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, all := range p.waiters {
		for _, w := range all {
			w.done <- errStopped
		}
	}
	clear(p.waiters)
}

// batch is the changes of one group.
type batch struct {
	g       *Group
	id      uint64 // of the group in the store
	changes stores.ConsumerChanges
	taken   changed
	waiters []*waiter
}

// write writes what there is to write, within the time.
func (p *positions) write(ctx context.Context, timeout time.Duration) {
	p.writing.Lock()
	defer p.writing.Unlock()
	all := p.take()
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p.saveOrSplit(ctx, all)
}

// saveOrSplit saves the changes of groups together, or of those that the database takes.
func (p *positions) saveOrSplit(ctx context.Context, all []*batch) {
	err := p.save(ctx, all)
	if half := len(all) / 2; err != nil && isRefusal(err) && half > 0 {
		p.saveOrSplit(ctx, all[:half])
		p.saveOrSplit(ctx, all[half:])
		return
	}
	p.settle(all, err)
}

// take returns the changes of all groups that have any. Of a group that the database refused it takes them after a while, or
// when a request waits.
func (p *positions) take() []*batch {
	p.mu.Lock()
	var all []*batch
	for g := range p.dirty {
		if at, ok := p.refused[g]; ok && len(p.waiters[g]) == 0 && time.Since(at) < refusedPause {
			continue
		}
		all = append(all, &batch{g: g, waiters: p.waiters[g]})
		delete(p.dirty, g)
		delete(p.waiters, g)
	}
	p.mu.Unlock()
	for _, b := range all {
		b.g.mu.Lock()
		b.changes, b.taken = b.g.state.take(b.g.ch.Stored())
		b.id, b.g.queued = b.g.state.id, false
		b.g.mu.Unlock()
	}
	return all
}

func (p *positions) save(ctx context.Context, all []*batch) error {
	var changes stores.ConsumerChanges
	for _, b := range all {
		changes.Put = append(changes.Put, b.changes.Put...)
		changes.Delete = append(changes.Delete, b.changes.Delete...)
		changes.Positions = append(changes.Positions, b.changes.Positions...)
		changes.Drop = append(changes.Drop, b.changes.Drop...)
		changes.Converted = append(changes.Converted, b.changes.Converted...)
	}
	if changes.Empty() {
		return nil
	}
	return p.store.SaveConsumers(ctx, changes)
}

// settle tells the requests that wait, and has what could not be written written again. While the database is unavailable,
// requests go on waiting.
func (p *positions) settle(all []*batch, err error) {
	if err != nil {
		p.metrics.Failed("progress", err)
	}
	for _, b := range all {
		if err == nil {
			for _, w := range b.waiters {
				w.done <- p.recorded(b.g)
			}
			continue
		}
		b.g.mu.Lock()
		b.g.state.changed.add(b.taken)
		b.g.queued = true
		b.g.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(all, err)
	for _, b := range all {
		delete(p.refused, b.g)
		if err == nil {
			continue
		}
		p.dirty[b.g] = struct{}{}
		if errors.Is(err, stores.ErrUnavailable) {
			p.waiters[b.g] = append(b.waiters, p.waiters[b.g]...)
			continue
		}
		for _, w := range b.waiters {
			w.done <- err
		}
		if isRefusal(err) {
			p.refused[b.g] = time.Now()
		}
	}
}

// recorded is the answer to a request that waited for a write that succeeded: what is saved of a channel that was deleted in
// the meantime is left out.
func (p *positions) recorded(g *Group) error {
	if p.store.Channel(g.ch.Name()) != g.ch.Stored() {
		return ErrChannelDeleted
	}
	return nil
}

// note logs when writing begins to fail, and when it works again. The caller holds p.mu.
func (p *positions) note(all []*batch, err error) {
	switch {
	case err != nil && isRefusal(err):
		for _, b := range all {
			if _, known := p.refused[b.g]; !known {
				p.log.Error("The database refuses the state of a subscription; retrying", "channel", b.g.ch.Name(), "consumer", b.id, "error", err)
			}
		}
		return
	case err != nil && p.lastErr == nil:
		p.log.Error("Saving the state of subscriptions failed; retrying", "error", err)
	case err == nil && p.lastErr != nil:
		p.log.Info("Saving the state of subscriptions works again")
	}
	p.lastErr = err
}

// isRefusal reports whether an error is about what was to be written.
func isRefusal(err error) bool {
	for _, other := range []error{stores.ErrUnavailable, stores.ErrFenced, stores.ErrClosed} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// drop forgets the changes of groups whose channel is about to be deleted, and returns when no write of them is under way.
func (p *positions) drop(groups []*Group) {
	p.mu.Lock()
	for _, g := range groups {
		delete(p.dirty, g)
	}
	p.mu.Unlock()
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range groups {
		delete(p.dirty, g) // a write that failed put it back
		delete(p.refused, g)
		for _, w := range p.waiters[g] {
			w.done <- ErrChannelDeleted
		}
		delete(p.waiters, g)
	}
}

// flush writes what there is to write, before run. That may be all groups of an earlier release.
func (p *positions) flush(ctx context.Context) error {
	all := p.take()
	err := p.save(ctx, all)
	if err != nil && isRefusal(err) {
		p.saveOrSplit(ctx, all)
		return nil // what is refused stays to be written
	}
	p.settle(all, err)
	return err
}
