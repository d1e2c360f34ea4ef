package stan

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// clientStore is what the registrar needs of the store.
type clientStore interface {
	SaveClients(ctx context.Context, put []*spb.ClientInfo, deleted []string) error
}

const (
	// registrarBatch bounds the clients of one transaction.
	registrarBatch = 512
	// registrarPause is the time between two attempts while the database is unavailable.
	registrarPause = 250 * time.Millisecond
)

// registrar writes registrations of clients, all that wait in one transaction. What it has to write is what the rows shall be,
// by client ID: a change that fails stays to be written, until a later one replaces it, so that the database comes to agree
// with memory whatever became of a COMMIT.
type registrar struct {
	store   clientStore
	timeout time.Duration // of one transaction
	wake    chan struct{} // one slot

	mu      sync.Mutex // guards what follows
	pending map[string]*registration
	order   []string // IDs of pending, the oldest first
}

// registration is what the row of a client shall be.
type registration struct {
	info *spb.ClientInfo // nil: none
	done chan error      // one slot; gets the outcome
}

func newRegistrar(store clientStore, timeout time.Duration) *registrar {
	return &registrar{store: store, timeout: timeout, wake: make(chan struct{}, 1), pending: make(map[string]*registration)}
}

// set makes info the row of a client, nil removes it. It waits until that is written, or ctx ends; then it is still to be
// written.
func (r *registrar) set(ctx context.Context, id string, info *spb.ClientInfo) error {
	return await(ctx, r.queue(id, info))
}

// await waits until a row is written, or ctx ends; then it is still to be written.
func await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", stores.ErrUnavailable, context.Cause(ctx))
	}
}

// queue makes info the row of a client in a while.
func (r *registrar) queue(id string, info *spb.ClientInfo) <-chan error {
	it := &registration{info: info, done: make(chan error, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if before := r.pending[id]; before == nil {
		r.order = append(r.order, id)
	} else {
		before.done <- nil // what it wanted is the past
	}
	r.pending[id] = it
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return it.done
}

// take returns the oldest registrations, by client ID.
func (r *registrar) take() map[string]*registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(len(r.order), registrarBatch)
	batch := make(map[string]*registration, n)
	for _, id := range r.order[:n] {
		batch[id] = r.pending[id]
		delete(r.pending, id)
	}
	r.order = r.order[n:]
	return batch
}

// putBack has registrations written again, unless others took their place.
func (r *registrar) putBack(batch map[string]*registration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, it := range batch {
		if r.pending[id] != nil {
			it.done <- nil
			continue
		}
		r.pending[id] = it
		r.order = append(r.order, id)
	}
}

// run writes until ctx ends, and then once more what is left.
func (r *registrar) run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.wake:
		}
		for ctx.Err() == nil && r.flush(ctx, false) {
		}
	}
	for r.flush(context.WithoutCancel(ctx), true) {
	}
}

// flush writes a batch, for the last time if final is true. It reports whether to go on.
func (r *registrar) flush(ctx context.Context, final bool) bool {
	batch := r.take()
	if len(batch) == 0 {
		return false
	}
	err := r.write(ctx, batch)
	switch {
	case err == nil:
		finish(batch, nil)
	case errors.Is(err, stores.ErrFenced), errors.Is(err, stores.ErrClosed):
		finish(batch, err)
	case errors.Is(err, stores.ErrUnavailable):
		r.putBack(batch)
		return !final && r.pause(ctx)
	case len(batch) == 1:
		finish(batch, err)
	default: // the database refuses one of them: find out which
		return r.flushEach(ctx, batch, final)
	}
	return true
}

// flushEach is flush for registrations one by one. What an outage leaves is put back.
func (r *registrar) flushEach(ctx context.Context, batch map[string]*registration, final bool) bool {
	for id, it := range batch {
		alone := map[string]*registration{id: it}
		err := r.write(ctx, alone)
		if errors.Is(err, stores.ErrUnavailable) {
			r.putBack(batch)
			return !final && r.pause(ctx)
		}
		delete(batch, id)
		finish(alone, err)
	}
	return true
}

func (r *registrar) write(ctx context.Context, batch map[string]*registration) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	var put []*spb.ClientInfo
	var deleted []string
	for id, it := range batch {
		if it.info == nil {
			deleted = append(deleted, id)
		} else {
			put = append(put, it.info)
		}
	}
	return r.store.SaveClients(ctx, put, deleted)
}

// pause waits before the next attempt. It reports false if ctx ends meanwhile.
func (r *registrar) pause(ctx context.Context) bool {
	timer := time.NewTimer(registrarPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func finish(batch map[string]*registration, err error) {
	for _, it := range batch {
		it.done <- err
	}
}
