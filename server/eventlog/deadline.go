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
		now := time.Now()
		// What comes later is not due before the horizon, or the queue says so.
		expired, next := l.queue.expire(now, now.Add(l.o.StoreTimeout))
		l.refuseAll(l.overdue(), expired...)
		timer.Reset(max(time.Until(next), expireInterval))
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
		l.refuseAll(ErrStopped, l.queue.clear()...)
		timer.Reset(expireInterval) // for what decoders and the creation of channels put back
		select {
		case <-l.queue.drained:
			return
		case <-timer.C:
		}
	}
}
