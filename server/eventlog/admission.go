package eventlog

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// Admission bounds the bytes of unanswered messages, over all doors. A message larger than the bound is admitted when
// nothing else is held.
type Admission struct {
	max int

	mu      sync.Mutex // guards held and waiting
	held    int
	waiting list.List // of *waiter, first come, first served
}

type waiter struct {
	bytes   int
	granted chan struct{} // closed when the waiter holds its bytes
}

// NewAdmission returns an Admission of up to max bytes.
func NewAdmission(max int) *Admission {
	return &Admission{max: max}
}

// fits reports whether there is room for more bytes. The caller holds a.mu.
func (a *Admission) fits(bytes int) bool { return a.held == 0 || a.held+bytes <= a.max }

// TryAcquire acquires bytes if there is room and nobody is waiting. It always succeeds while nothing is held or
// waiting.
func (a *Admission) TryAcquire(bytes int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting.Len() > 0 || !a.fits(bytes) {
		return false
	}
	a.held += bytes
	return true
}

// Acquire waits for its turn, then for room. Its error wraps ErrOverloaded and the cause of ctx.
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
	a.grant() // a smaller waiter behind may fit
	return fmt.Errorf("%w: %w", ErrOverloaded, context.Cause(ctx))
}

// Release returns bytes.
func (a *Admission) Release(bytes int) {
	if bytes == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held -= bytes
	a.grant()

}

// grant admits waiters in order while there is room. The caller holds a.mu.
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

// Held returns the bytes held.
func (a *Admission) Held() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// Max returns the bound of Held.
func (a *Admission) Max() int { return a.max }
