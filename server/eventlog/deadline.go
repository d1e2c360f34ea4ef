package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// expireInterval is the shortest time between two passes over all waiting submissions.
const expireInterval = 20 * time.Millisecond

// leastShare is the share of the timeout that a transaction always gets, however long its submissions have waited.
// Otherwise a merely slow database would fail them, and younger submissions with them.
const leastShare = 5

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// overdue is the error of a submission that passed its deadline without being stored.
func (l *Log) overdue() error {
	return fmt.Errorf("not stored within %v: %w", l.o.StoreTimeout, stores.ErrUnavailable)
}

// transactionDeadline returns until when a transaction may take that begins now. due is the earliest deadline of its
// submissions, which counts once the database has failed.
func transactionDeadline(due time.Time, timeout time.Duration, failing bool) time.Time {
	now := time.Now()
	if !failing {
		return now.Add(timeout)
	}
	return later(due, now.Add(timeout/leastShare))
}

// expire refuses submissions past their deadline during an outage, whatever they wait for. When ctx ends, it refuses all that wait until
// the queue has drained.
func (l *Log) expire(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		// A submission that comes later is due after the horizon, or the queue signals due.
		next := now.Add(l.o.StoreTimeout)
		if l.outage.Load() {
			var expired []*entry
			expired, next = l.queue.expire(now, next)
			l.refuseAll(l.overdue(), expired...)
		}
		timer.Reset(max(time.Until(next), expireInterval))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.queue.due:
			// Wait: more submissions may come, and none of them is due yet.
			timer.Reset(expireInterval)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
	}
	for {
		l.refuseAll(ErrStopped, l.queue.clear()...)
		timer.Reset(expireInterval) // decoders and the creator may put submissions back
		select {
		case <-l.queue.drained:
			return
		case <-timer.C:
		}
	}
}
