package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// retentionStore is what retention needs of the store.
type retentionStore interface {
	messageReader
	SequenceAt(ctx context.Context, ch *stores.Channel, ns int64) (uint64, error)
	Prune(ctx context.Context, ch *stores.Channel, upTo uint64) error
	DeleteChannel(ctx context.Context, ch *stores.Channel) error
	PurgeDeleted(ctx context.Context) error
}

// retention removes messages over the limits of their channel, and channels that nobody uses. It never has anything
// to do on an event channel, whose limits remove nothing.
//
// What it removes, it removes on the writer's goroutine: after the commit that exceeded a limit and before its
// publishers are answered, or between two commits.
type retention struct {
	store    retentionStore
	channels *channels
	timeout  time.Duration // of one removal, while the database is unavailable
	log      *slog.Logger
	// onWriter calls f on the writer's goroutine and waits for it.
	onWriter func(f func())
	failing  atomic.Bool // since the last success; only the first error is logged
}

const (
	// retentionStep is how many messages one call removes at most, so that publishers do not wait long.
	retentionStep = 10_000
	// retentionInterval is how often ages are looked at, unless a channel's limit asks for it more often.
	retentionInterval    = time.Second
	minRetentionInterval = 50 * time.Millisecond
)

// run enforces what time, or a new configuration, brings about, until ctx ends.
func (r *retention) run(ctx context.Context) {
	if err := r.store.PurgeDeleted(ctx); err != nil && ctx.Err() == nil {
		r.log.Error("Removing deleted channels, next try at the next start", "error", err)
	}
	for _, ch := range r.channels.all() {
		r.catchUp(ctx, ch)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next := retentionInterval
		for _, ch := range r.channels.all() {
			if d := ch.limits.MaxAge; d > 0 {
				next = min(next, d/4)
				r.expire(ctx, ch)
			}
			if d := ch.limits.MaxInactivity; d > 0 {
				next = min(next, d/4)
				r.deleteInactive(ctx, ch)
			}
		}
		timer.Reset(max(next, minRetentionInterval))
	}
}

// catchUp brings a recovered channel below limits that are new.
func (r *retention) catchUp(ctx context.Context, ch *channel) {
	for ctx.Err() == nil && ch.overLimits() {
		before := ch.stored.Info().Msgs
		r.onWriter(func() { r.enforce(ctx, ch) })
		if ch.stored.Info().Msgs == before {
			return // the error is logged; the next publish tries again
		}
	}
}

// overLimits reports whether the channel holds more than its limits, the newest message aside.
func (c *channel) overLimits() bool {
	info := c.stored.Info()
	return info.Msgs > 1 &&
		(c.limits.MaxMsgs > 0 && info.Msgs > uint64(c.limits.MaxMsgs) ||
			c.limits.MaxBytes > 0 && info.Bytes > uint64(c.limits.MaxBytes))
}

// enforce removes the oldest messages of a channel that is over its limits. It runs on the writer's goroutine.
func (r *retention) enforce(ctx context.Context, ch *channel) {
	if !ch.overLimits() {
		return
	}
	info := ch.stored.Info()
	if !ch.warned {
		ch.warned = true
		r.log.Warn(fmt.Sprintf("Reached limits for store %q (msgs=%d/%d bytes=%d/%d), dropping old messages to make room for new ones",
			ch.name, info.Msgs, ch.limits.MaxMsgs, info.Bytes, ch.limits.MaxBytes))
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	upTo := uint64(0)
	for removed := 0; removed < retentionStep; {
		oldest, err := r.store.Read(ctx, ch.stored, max(upTo+1, info.First), info.Last, batchMsgs, batchBytes)
		if err != nil {
			r.failed(ch, err)
			return
		}
		for _, m := range oldest {
			if info.Msgs <= 1 ||
				(ch.limits.MaxMsgs <= 0 || info.Msgs <= uint64(ch.limits.MaxMsgs)) &&
					(ch.limits.MaxBytes <= 0 || info.Bytes <= uint64(ch.limits.MaxBytes)) {
				r.prune(ctx, ch, upTo)
				return
			}
			upTo = m.Sequence
			info.Msgs--
			info.Bytes -= uint64(len(m.Data))
			removed++
		}
		if len(oldest) == 0 {
			break
		}
	}
	r.prune(ctx, ch, upTo)
}

// expire removes messages that are too old.
func (r *retention) expire(ctx context.Context, ch *channel) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	info := ch.stored.Info()
	if info.First == 0 {
		return
	}
	if ch.first.Sequence != info.First {
		oldest, err := r.store.Read(ctx, ch.stored, info.First, info.First, 1, 1)
		if err != nil || len(oldest) == 0 {
			r.failed(ch, err)
			return
		}
		ch.first = stores.Message{Sequence: info.First, Timestamp: oldest[0].Timestamp}
	}
	horizon := time.Now().Add(-ch.limits.MaxAge).UnixNano()
	if ch.first.Timestamp > horizon {
		return
	}
	young, err := r.store.SequenceAt(ctx, ch.stored, horizon+1)
	if err != nil {
		r.failed(ch, err)
		return
	}
	upTo := info.Last
	if young > 0 {
		upTo = young - 1
	}
	for first := info.First; first <= upTo && first > 0 && ctx.Err() == nil; first = ch.stored.Info().First {
		r.onWriter(func() { r.prune(ctx, ch, min(upTo, first+retentionStep-1)) })
		if ch.stored.Info().First == first {
			return // the error is logged; the next interval tries again
		}
	}
}

// prune removes messages, and what memory holds of them. It runs on the writer's goroutine.
func (r *retention) prune(ctx context.Context, ch *channel, upTo uint64) {
	if upTo == 0 {
		return
	}
	if err := r.store.Prune(ctx, ch.stored, upTo); err != nil {
		r.failed(ch, err)
		return
	}
	r.worked()
	ch.tails.forget(&ch.tail, upTo)
}

// deleteInactive deletes a channel that has had no active subscription and no publish for too long. Offline
// durables go with it.
func (r *retention) deleteInactive(ctx context.Context, ch *channel) {
	if !ch.inactiveFor(ch.limits.MaxInactivity) {
		return
	}
	r.onWriter(func() {
		ctx, cancel := context.WithTimeout(ctx, r.timeout)
		defer cancel()
		// Nobody joins, publishes to or creates a channel of this name meanwhile.
		ch.membership.Lock()
		defer ch.membership.Unlock()
		r.channels.creating.Lock()
		defer r.channels.creating.Unlock()
		if ch.deleted || !ch.inactiveFor(ch.limits.MaxInactivity) {
			return
		}
		if err := r.store.DeleteChannel(ctx, ch.stored); err != nil {
			r.failed(ch, err)
			return
		}
		r.worked()
		ch.deleted = true
		r.channels.remove(ch)
		ch.drop()
		r.log.Info(fmt.Sprintf("Channel %q has been deleted", ch.name))
	})
	if err := r.store.PurgeDeleted(ctx); err != nil && ctx.Err() == nil {
		r.log.Error("Removing deleted channels, next try at the next start", "error", err)
	}
}

func (r *retention) failed(ch *channel, err error) {
	if err != nil && !r.failing.Swap(true) {
		r.log.Error("Enforcing the limits of channels fails, retrying", "channel", ch.name, "error", err)
	}
}

func (r *retention) worked() {
	if r.failing.CompareAndSwap(true, false) {
		r.log.Info("Enforcing the limits of channels works again")
	}
}
