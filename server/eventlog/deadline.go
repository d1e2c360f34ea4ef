package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// expireInterval is the least time between two looks at all that waits.
const expireInterval = 20 * time.Millisecond

// leastShare is the part of the timeout that a transaction gets at least, however long what it is about has waited:
// else it would fail at once, and with it what is younger, on a database that is merely slow.
const leastShare = 5

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// overdue is the error of what waited until its deadline. It was not stored.
func (l *Log) overdue() error {
	return fmt.Errorf("not stored within %v: %w", l.o.StoreTimeout, stores.ErrUnavailable)
}

// expire answers what waits beyond its deadline, whatever the writer, the decoders and the creation of channels are
// waiting for. When ctx ends, it answers all that waits, until the queue has drained.
func (l *Log) expire(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		expired, next := l.queue.expire(time.Now(), false)
		l.settle(l.overdue(), expired...)
		wait := time.Hour // until the queue says otherwise
		if !next.IsZero() {
			wait = max(time.Until(next), expireInterval)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.queue.due:
			// Not at once: many may come together, and none of them is due yet.
			timer.Reset(expireInterval)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
	}
	for {
		expired, _ := l.queue.expire(time.Time{}, true)
		l.settle(ErrStopped, expired...)
		timer.Reset(expireInterval) // for what decoders and the creation of channels put back
		select {
		case <-l.queue.drained:
			return
		case <-timer.C:
		}
	}
}
