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

// saver is the part of the store that positions uses.
type saver interface {
	SaveConsumers(ctx context.Context, changes stores.ConsumerChanges) error
	Channel(name string) *stores.Channel
}

// refusedPause is the time until a refused group is retried, unless a request waits for it.
const refusedPause = 10 * time.Second

// positions writes the changes of groups, and only it does so: all changes of an interval in one transaction, or at
// once if a request waits. A failed write is repeated.
type positions struct {
	store    saver
	interval time.Duration
	timeout  time.Duration // of one write while the database is unavailable
	metrics  Metrics
	log      *slog.Logger

	// wake tells run that a request waits. It has one slot and carries no data.
	wake chan struct{}
	// writing is held during a write.
	writing sync.Mutex

	mu      sync.Mutex // guards the fields below
	dirty   map[*Group]struct{}
	waiters map[*Group][]*waiter
	refused map[*Group]time.Time // time of the last refusal
	lastErr error                // of the last write, nil if it succeeded
	stopped bool                 // no write begins any more but the last one
	ended   bool                 // the last one has ended
}

// waiter is a request that waits until changes are stored.
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

// add marks a group as changed.
func (p *positions) add(g *Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dirty[g] = struct{}{}
}

// wait returns when all changes of a group so far are stored, or ctx ends. The error says why they are not.
func (p *positions) wait(ctx context.Context, g *Group) error {
	w := &waiter{done: make(chan error, 1)}
	p.mu.Lock()
	if _, pending := p.dirty[g]; p.stopped {
		written := p.ended && !pending
		p.mu.Unlock()
		if written {
			return nil // the last write contained it
		}
		return ErrStopped
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
		return p.timeoutError(context.Cause(ctx))
	}
}

// timeoutError returns the error of a request whose time is up.
func (p *positions) timeoutError(ended error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastErr != nil {
		return fmt.Errorf("%w (%w)", p.lastErr, ended)
	}
	return fmt.Errorf("%w: %w", stores.ErrUnavailable, ended)
}

// run writes until ctx ends, then once more.
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
	p.ended = true
	for _, all := range p.waiters {
		for _, w := range all {
			w.done <- ErrStopped
		}
	}
	clear(p.waiters)
}

// batch holds the changes of one group.
type batch struct {
	g       *Group
	id      uint64 // the group's ID in the store
	changes stores.ConsumerChanges
	taken   changed
	waiters []*waiter
}

// write writes all changes, within the timeout.
func (p *positions) write(ctx context.Context, timeout time.Duration) {
	p.writing.Lock()
	defer p.writing.Unlock()
	all := p.takeChanges()
	if len(all) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p.saveOrSplit(ctx, all)
}

// saveOrSplit saves changes together. If the database refuses them, it saves all but the refused ones.
func (p *positions) saveOrSplit(ctx context.Context, all []*batch) {
	err := p.save(ctx, all)
	if half := len(all) / 2; err != nil && isRefusal(err) && half > 0 {
		p.saveOrSplit(ctx, all[:half])
		p.saveOrSplit(ctx, all[half:])
		return
	}
	p.finish(all, err)
}

// takeChanges removes and returns the changes of all groups. A refused group waits for refusedPause, unless a request waits.
func (p *positions) takeChanges() []*batch {
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
		b.changes, b.taken = b.g.state.takeChanges(b.g.line.Stored())
		b.g.state.takePattern(b.g.line.Pattern(), &b.changes)
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
		changes.Wildcards = append(changes.Wildcards, b.changes.Wildcards...)
		changes.DropWildcards = append(changes.DropWildcards, b.changes.DropWildcards...)
		changes.DropNamed = append(changes.DropNamed, b.changes.DropNamed...)
		changes.Named = append(changes.Named, b.changes.Named...)
		changes.Park = append(changes.Park, b.changes.Park...)
		changes.Unpark = append(changes.Unpark, b.changes.Unpark...)
		changes.Audit = append(changes.Audit, b.changes.Audit...)
	}
	if changes.Empty() {
		return nil
	}
	return p.store.SaveConsumers(ctx, changes)
}

// storeNow writes changes that are of no group. stored is called before anything else is written.
func (p *positions) storeNow(ctx context.Context, changes stores.ConsumerChanges, stored func()) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.store.SaveConsumers(ctx, changes); err != nil {
		return err
	}
	stored()
	return nil
}

// finish answers the waiting requests and schedules failed changes again. While the database is unavailable, requests
// keep waiting.
func (p *positions) finish(all []*batch, err error) {
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
		b.g.state.changed.putBack(b.taken)
		b.g.queued = true
		b.g.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logOutcome(all, err)
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

// recorded is the answer to a request after a successful write. The write leaves out channels that were deleted
// meanwhile.
func (p *positions) recorded(g *Group) error {
	if p.store.Channel(g.line.Name()) != g.line.Stored() {
		return ErrChannelDeleted
	}
	return nil
}

// logOutcome logs when writing starts to fail and when it recovers. The caller holds p.mu.
func (p *positions) logOutcome(all []*batch, err error) {
	switch {
	case err != nil && isRefusal(err):
		for _, b := range all {
			if _, known := p.refused[b.g]; !known {
				p.log.Error("Database refused the state of a subscription; retrying", "channel", b.g.line.Name(), "consumer", b.id, "error", err)
			}
		}
		return
	case err != nil && p.lastErr == nil:
		p.log.Error("Failed to save the state of subscriptions; retrying", "error", err)
	case err == nil && p.lastErr != nil:
		p.log.Info("Saving the state of subscriptions recovered")
	}
	p.lastErr = err
}

// isRefusal reports whether an error is about the data to write.
func isRefusal(err error) bool {
	for _, other := range []error{stores.ErrUnavailable, stores.ErrFenced, stores.ErrClosed} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// drop forgets the changes of groups whose channel is about to be deleted. It waits until no write of them is in
// progress.
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
		delete(p.dirty, g) // a failed write put it back
		delete(p.refused, g)
		for _, w := range p.waiters[g] {
			w.done <- ErrChannelDeleted
		}
		delete(p.waiters, g)
	}
}

// flush writes all changes before run. After an upgrade, these can be all groups.
func (p *positions) flush(ctx context.Context) error {
	all := p.takeChanges()
	err := p.save(ctx, all)
	if err != nil && isRefusal(err) {
		p.saveOrSplit(ctx, all)
		return nil // run retries refused changes
	}
	p.finish(all, err)
	return err
}
