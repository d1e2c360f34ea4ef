package eventstore

import (
	"cmp"
	"context"
	"time"

	exponential "github.com/cenkalti/backoff/v5"
)

// backoff waits between attempts: about 10 ms at first, doubling up to about 2 s. The pauses vary at random, so that clients that
// conflicted once do not conflict again. The zero value is ready.
type backoff struct {
	first  time.Duration // 0: 10 ms
	max    time.Duration // 0: 2 s
	pauses exponential.ExponentialBackOff
}

// wait returns nil after the pause, or the cause if ctx ends first.
func (b *backoff) wait(ctx context.Context) error {
	if b.pauses.Multiplier == 0 {
		b.pauses = exponential.ExponentialBackOff{
			InitialInterval: cmp.Or(b.first, 10*time.Millisecond), Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: cmp.Or(b.max, 2*time.Second),
		}
	}
	timer := time.NewTimer(b.pauses.NextBackOff())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
