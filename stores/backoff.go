package stores

import (
	"context"
	"time"

	exponential "github.com/cenkalti/backoff/v5"
)

// backoff waits between attempts: about 5 ms at first, doubling up to about 1 s. The pauses vary at random, so that two servers do
// not keep colliding. The zero value is ready.
type backoff struct {
	pauses exponential.ExponentialBackOff
}

// sleep reports whether ctx still had time left.
func (b *backoff) sleep(ctx context.Context) bool {
	if b.pauses.Multiplier == 0 {
		b.pauses = exponential.ExponentialBackOff{
			InitialInterval: 5 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: time.Second,
		}
	}
	timer := time.NewTimer(b.pauses.NextBackOff())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
