package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// retention removes rows that the limits have removed from channels, and channels that are inactive. Event channels
// need none of it, since their limits remove nothing.
//
// Readers never notice, since a channel's window is ahead of it. It works on the writer's goroutine between two
// batches, in short steps for many messages at once, so no publisher waits for a removal before its answer.
type retention struct {
	log     *Log
	users   Users
	step    int           // most messages that a removal may take when nothing is published: see pruneUpTo
	wake    chan struct{} // one slot: trim at once
	soon    chan struct{} // one slot: trim soon
	failing atomic.Bool   // an error was logged since the last success

	mu     sync.Mutex            // guards wanted
	wanted map[*Channel]struct{} // channels over their limits
}

const (
	// pruneAtOnce is how many messages are removed together without waiting for more.
	pruneAtOnce = 256
	// pruneInterval is how long a removal waits for more messages.
	pruneInterval = 200 * time.Millisecond
	// shortStep is the approximate time that a removal may delay a lone publisher. leastStep and mostStep bound its messages; fewer
	// would take no less time.
	shortStep = 10 * time.Millisecond
	leastStep = 256
	mostStep  = 10_000
	// retentionInterval is how often ages are checked, unless a channel's limit needs it more often.
	retentionInterval    = time.Second
	minRetentionInterval = 50 * time.Millisecond
)

func newRetention(l *Log) *retention {
	return &retention{log: l, step: pruneAtOnce, wake: make(chan struct{}, 1), soon: make(chan struct{}, 1), wanted: make(map[*Channel]struct{})}
}

// schedule schedules a channel for trim, soon or at once.
func (r *retention) schedule(ch *Channel, atOnce bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted[ch] = struct{}{}
	if atOnce {
		signal(r.wake)
	} else {
		signal(r.soon)
	}
}

func (r *retention) takeWanted() map[*Channel]struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := r.wanted
	r.wanted = make(map[*Channel]struct{})
	return wanted
}

// run enforces the limits until ctx ends.
func (r *retention) run(ctx context.Context) {
	r.purge(ctx)
	timer := time.NewTimer(0) // for ages
	defer timer.Stop()
	var pending <-chan time.Time // of what is wanted soon
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(r.checkAges(ctx))
		case <-r.wake:
			r.trim(ctx)
		case <-r.soon:
			if pending == nil {
				pending = time.After(pruneInterval)
			}
		case <-pending:
			pending = nil
			r.trim(ctx)
		}
	}
}

// checkAges removes expired messages and channels. It returns when to look again.
func (r *retention) checkAges(ctx context.Context) time.Duration {
	next := retentionInterval
	for _, ch := range r.log.Channels() {
		if d := ch.limits.MaxAge; d > 0 {
			next = min(next, d/4)
			r.expire(ctx, ch)
		}
		if d := ch.limits.MaxInactivity; d > 0 {
			next = min(next, d/4)
			r.deleteInactive(ctx, ch)
		}
	}
	return max(next, minRetentionInterval)
}

// trim removes what is over the limits of the wanted channels.
func (r *retention) trim(ctx context.Context) {
	for ch := range r.takeWanted() {
		if !ch.Deleted() && (!r.measure(ctx, ch) || !r.prune(ctx, ch)) && ctx.Err() == nil {
			r.schedule(ch, false) // the error is logged
		}
	}
}

// measure reads the oldest messages to find out what the limits remove where memory cannot tell. It reports whether the
// limits are now met.
func (r *retention) measure(ctx context.Context, ch *Channel) bool {
	ctx, cancel := context.WithTimeout(ctx, r.log.o.StoreTimeout)
	defer cancel()
	for {
		info := ch.stored.Info()
		var oldest []stores.Message
		sizeOf := func(seq uint64) (bytes int, next uint64, ok bool) {
			for len(oldest) > 1 && oldest[0].Sequence < seq {
				oldest = oldest[1:]
			}
			if len(oldest) < 2 || oldest[0].Sequence != seq {
				return ch.sizeOf(seq)
			}
			return len(oldest[0].Data), oldest[1].Sequence, true
		}
		first, kept := ch.window.enforce(info, ch.limits, sizeOf)
		if kept {
			return true
		}
		var err error
		if oldest, err = r.log.store.Read(ctx, ch.stored, first, info.Last, batchMsgs, batchBytes); err != nil {
			r.failed(ch, err)
			return false
		}
		if len(oldest) < 2 {
			return true // only the newest message is left
		}
		ch.window.skip(info, oldest[0].Sequence) // another process may have removed the first messages
		first, kept = ch.window.enforce(info, ch.limits, sizeOf)
		r.log.tails.forget(&ch.tail, first-1)
		if kept {
			return true
		}
	}
}

// prune removes the rows that the limits have removed until now, and reports whether it did. It ends although they remove more meanwhile:
// where a removal takes as long as a publish, each would be one of a single message otherwise.
func (r *retention) prune(ctx context.Context, ch *Channel) bool {
	first := ch.window.firstRemaining()
	for ctx.Err() == nil {
		info := ch.stored.Info()
		if info.First == 0 || first <= info.First {
			return true
		}
		var err error
		if called := r.log.writer.onWriter(ctx, func() { err = r.pruneStep(ctx, ch) }); called != nil {
			return false
		}
		if err != nil {
			r.failed(ch, err)
			return false
		}
		r.worked()
	}
	return false
}

// pruneStep removes rows in one step. It runs on the writer's goroutine.
//
// A step is short, for the sake of whoever publishes next. But it may always take as many messages as were stored since the last one, so
// that a channel which is published to without a pause stays near its limits: what was stored took longer than its removal takes.
func (r *retention) pruneStep(ctx context.Context, ch *Channel) error {
	ctx, cancel := context.WithTimeout(ctx, r.log.o.StoreTimeout)
	defer cancel()
	before, start := ch.stored.Info(), time.Now()
	first := ch.window.firstRemaining()
	if before.First == 0 || first <= before.First {
		return nil
	}
	most := uint64(min(r.step+r.log.writer.stored, mostStep))
	n := min(first-before.First, most)
	upTo := before.First + n - 1
	if err := r.log.store.Prune(ctx, ch.stored, upTo); err != nil {
		return err
	}
	r.log.writer.stored -= min(int(n), r.log.writer.stored)
	after, took := ch.stored.Info(), time.Since(start)
	ch.window.pruned(upTo, before.Msgs-min(after.Msgs, before.Msgs), before.Bytes-min(after.Bytes, before.Bytes))
	switch step := uint64(r.step); {
	case n <= step && took > shortStep:
		r.step = max(r.step/2, leastStep)
	case n >= step && took < shortStep/3:
		r.step = min(2*r.step, mostStep)
	}
	return nil
}

// expire removes messages older than the limit.
func (r *retention) expire(ctx context.Context, ch *Channel) {
	bounded, cancel := context.WithTimeout(ctx, r.log.o.StoreTimeout)
	defer cancel()
	info := ch.Info()
	if info.Msgs > 0 {
		at, err := r.timestamp(bounded, ch, info)
		if err != nil {
			r.failed(ch, err)
			return
		}
		if horizon := time.Now().Add(-ch.limits.MaxAge).UnixNano(); at <= horizon {
			young, err := r.log.store.SequenceAt(bounded, ch.stored, horizon+1)
			if err != nil {
				r.failed(ch, err)
				return
			}
			if young == 0 {
				young = info.Last + 1
			}
			ch.window.expire(ch.stored.Info(), young)
			r.log.tails.forget(&ch.tail, young-1)
		}
	}
	if !r.prune(ctx, ch) && ctx.Err() == nil {
		r.schedule(ch, false)
	}
}

// timestamp returns the timestamp of a channel's first message and remembers it.
func (r *retention) timestamp(ctx context.Context, ch *Channel, info stores.ChannelInfo) (int64, error) {
	if ch.oldest.Sequence == info.First {
		return ch.oldest.Timestamp, nil
	}
	at, err := ch.Timestamp(ctx, info.First)
	if err != nil {
		return 0, err
	}
	ch.oldest = stores.Message{Sequence: info.First, Timestamp: at}
	return at, nil
}

// deleteInactive deletes a channel without active subscriptions or publishes for too long. Its offline durables go with
// it.
func (r *retention) deleteInactive(ctx context.Context, ch *Channel) {
	if !ch.inactiveFor(ch.limits.MaxInactivity) {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, r.log.o.StoreTimeout)
	defer cancel()
	inUse := false
	remove := func() error {
		var err error
		if called := r.log.writer.onWriter(bounded, func() {
			if inUse = !ch.inactiveFor(ch.limits.MaxInactivity); !inUse {
				err = r.delete(bounded, ch)
			}
		}); called != nil {
			return called
		}
		if inUse {
			return errInUse
		}
		return err
	}
	retired, err := r.users.Retire(ch, remove)
	switch {
	case inUse || ctx.Err() != nil:
	case err != nil:
		r.failed(ch, err)
	case retired:
		r.worked()
		r.purge(ctx)
	}
}

var errInUse = errors.New("the channel is in use")

// delete deletes a channel. It runs on the writer's goroutine.
func (r *retention) delete(ctx context.Context, ch *Channel) error {
	if err := r.log.store.DeleteChannel(ctx, ch.stored); err != nil {
		return err
	}
	ch.deleted.Store(true)
	r.log.channels.remove(ch)
	r.log.tails.remove(&ch.tail)
	ch.wake()
	r.log.log.Info(fmt.Sprintf("Channel %q has been deleted", ch.name))
	return nil
}

// purge removes the rows of deleted channels.
func (r *retention) purge(ctx context.Context) {
	if err := r.log.store.PurgeDeleted(ctx); err != nil && ctx.Err() == nil {
		r.log.log.Error("Failed to remove deleted channels; retrying at the next start", "error", err)
	}
}

func (r *retention) failed(ch *Channel, err error) {
	r.log.metrics.Failed("retention", err)
	if !r.failing.Swap(true) {
		r.log.log.Error("Failed to enforce a channel's limits; retrying", "channel", ch.name, "error", err)
	}
}

func (r *retention) worked() {
	if r.failing.CompareAndSwap(true, false) {
		r.log.log.Info("Enforcing channel limits recovered")
	}
}
