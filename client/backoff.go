package eventstore

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff waits between attempts: at most 10 ms at first, doubling to at most 2 s, of which a random half is taken off,
// so that those who lost a race do not meet again.
type backoff struct{ next time.Duration }

// wait returns the reason why ctx ended, if it did.
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
