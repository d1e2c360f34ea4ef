package eventstore

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff waits between attempts: 10 ms at first, doubling up to 2 s. It subtracts up to half at random, so that clients
// that conflicted once do not conflict again.
type backoff struct{ next time.Duration }

// wait returns nil after the pause, or the cause if ctx ends first.
func (b *backoff) wait(ctx context.Context) error {
	if b.next == 0 {
		b.next = 10 * time.Millisecond
	}
	timer := time.NewTimer(b.next/2 + rand.N(b.next/2))
	defer timer.Stop()
	b.next = min(2*b.next, 2*time.Second)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
