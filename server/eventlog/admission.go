package eventlog

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Admission bounds the bytes of unanswered messages of all doors together. A message larger than the bound passes when
// nothing else is held.
type Admission struct {
	max   int
	freed chan struct{}

	mu      sync.Mutex // guards what follows
	held    int
	waiting list.List // of *waiter, first come first served
}

type waiter struct {
	bytes   int
	granted chan struct{} // closed when the bytes are the waiter's
}

// NewAdmission returns one that holds up to max bytes.
func NewAdmission(max int) *Admission {
	return &Admission{max: max, freed: make(chan struct{}, 1)}
}

// fits reports whether bytes can be held beside what is held. The caller holds a.mu.
func (a *Admission) fits(bytes int) bool { return a.held == 0 || a.held+bytes <= a.max }

// TryAcquire takes bytes if there is room and nobody waits for it. It always succeeds while nothing is held.
func (a *Admission) TryAcquire(bytes int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting.Len() > 0 || !a.fits(bytes) {
		return false
	}
	a.held += bytes
	return true
}

// Acquire waits for its turn and then for room. The error wraps ErrOverloaded and the cause of ctx.
func (a *Admission) Acquire(ctx context.Context, bytes int) error {
	a.mu.Lock()
	if a.waiting.Len() == 0 && a.fits(bytes) {
		a.held += bytes
		a.mu.Unlock()
		return nil
	}
	w := &waiter{bytes, make(chan struct{})}
	place := a.waiting.PushBack(w)
	a.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	default:
	}
	a.waiting.Remove(place)
	a.grant() // a smaller one may have waited behind
	return fmt.Errorf("%w: %w", ErrOverloaded, context.Cause(ctx))
}

// Release gives bytes back.
func (a *Admission) Release(bytes int) {
	if bytes == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= bytes
	a.grant()
	select {
	case a.freed <- struct{}{}:
	default:
	}
}

// grant gives room to those who wait, in order. The caller holds a.mu.
func (a *Admission) grant() {
	for e := a.waiting.Front(); e != nil; e = a.waiting.Front() {
		w := e.Value.(*waiter)
		if !a.fits(w.bytes) {
			return
		}
		a.held += w.bytes
		a.waiting.Remove(e)
		close(w.granted)
	}
}

// Freed has a value when something was released since it was last received. It has one slot.
func (a *Admission) Freed() <-chan struct{} { return a.freed }

// Held returns how many bytes are held.
func (a *Admission) Held() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}
