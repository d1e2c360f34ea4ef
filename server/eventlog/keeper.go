package eventlog

import (
	"context"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/server/keys"
)

// keeper reads the keys that submissions wait for, those of many at a time, so that decoders need not wait for their database.
type keeper struct {
	ring *keys.Ring
	wake chan struct{} // one slot: somebody waits

	mu      sync.Mutex // guards the fields below
	wanted  []keyRequest
	stopped bool
}

type keyRequest struct {
	subjects []string
	done     func(*keys.Set, error)
}

func newKeeper(ring *keys.Ring) *keeper { return &keeper{ring: ring, wake: make(chan struct{}, 1)} }

// want reads the keys of subjects and calls done, usually on run's goroutine.
func (k *keeper) want(subjects []string, done func(*keys.Set, error)) {
	k.mu.Lock()
	if k.stopped {
		k.mu.Unlock()
		done(nil, ErrStopped)
		return
	}
	defer k.mu.Unlock()
	k.wanted = append(k.wanted, keyRequest{subjects, done})
	signal(k.wake)
}

// run reads keys until ctx ends. Remaining requests then fail with ErrStopped.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			k.mu.Lock()
			k.stopped = true
			k.mu.Unlock()
			for _, r := range k.take() {
				r.done(nil, ErrStopped)
			}
			return
		case <-k.wake:
		}
		if all := k.take(); len(all) > 0 {
			k.serve(ctx, all)
		}
	}
}

func (k *keeper) take() []keyRequest {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.wanted
	k.wanted = nil
	return all
}

// serve reads the keys of all requests. Each gets the set of all.
func (k *keeper) serve(ctx context.Context, all []keyRequest) {
	known := map[string]bool{}
	var subjects []string
	for _, r := range all {
		for _, id := range r.subjects {
			if !known[id] {
				known[id] = true
				subjects = append(subjects, id)
			}
		}
	}
	set, err := k.ring.ForSubjects(ctx, subjects)
	if ctx.Err() != nil {
		err = ErrStopped
	}
	for _, r := range all {
		r.done(set, err)
	}
}
