package eventlog

import (
	"context"
	"errors"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// appendStore is what the writer needs of the store.
type appendStore interface {
	Append(ctx context.Context, batch []stores.Append) ([]stores.Result, error)
	RenewLease(ctx context.Context) error
}

// writer commits submissions in groups: it takes whatever was queued while the previous commit ran, stores it in one
// transaction, lets readers have it and then answers. There is no timer: an idle writer commits a lone message at once.
type writer struct {
	log      *Log
	store    appendStore
	queue    *queue
	maxMsgs  int
	maxBytes int
	fit      int // bound of the next batch's messages, up to maxMsgs: see adapt
	pace     *pacing
	timeout  time.Duration // see Options.StoreTimeout
	calls    chan *call
	batch    []*entry        // reused
	appends  []stores.Append // reused
}

// call is made on the writer's goroutine.
type call struct {
	f    func()
	done chan struct{}
}

const (
	// leastFit is what a batch may hold however slow the database is: the time of fewer is that of the commit, not of the
	// rows.
	leastFit = 256
	// longBatch is the time of a batch after which the next ones are smaller.
	longBatch = 150 * time.Millisecond
	// settleInterval is the pause before another try to find out what became of a batch.
	settleInterval = time.Second
)

// run commits until the queue has ended. After ctx has ended, what is being committed fails.
func (w *writer) run(ctx context.Context) {
	var settle <-chan time.Time // runs while the outcome of the last commit may be unknown
	for {
		select {
		case <-w.queue.ready:
			var open bool
			if w.batch, open = w.queue.take(w.batch[:0], w.fit, w.maxBytes); !open {
				return
			}
			if len(w.batch) == 0 {
				continue
			}
			err := w.commit(ctx, w.batch)
			clear(w.batch)
			if err != nil && !w.awaitDatabase(ctx, err) {
				settle = time.After(settleInterval)
			}
		case c := <-w.calls:
			c.f()
			close(c.done)
		case <-settle:
			if settle = nil; !w.awaitDatabase(ctx, nil) {
				settle = time.After(settleInterval)
			}
		}
	}
}

// onWriter calls f on the writer's goroutine, between two batches. It returns without if ctx ends before.
func (w *writer) onWriter(ctx context.Context, f func()) error {
	c := &call{f, make(chan struct{})}
	select {
	case w.calls <- c:
		<-c.done
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// awaitDatabase returns when the database works again after an error; until then what waits fails by its own deadline, not by
// that of a batch. It reports false if the error is of another kind or ctx ended: what became of the last batch is not
// known then.
func (w *writer) awaitDatabase(ctx context.Context, err error) bool {
	for err == nil || errors.Is(err, stores.ErrUnavailable) {
		if ctx.Err() != nil {
			return false
		}
		if err = w.probe(ctx); err == nil {
			// The messages of a batch whose outcome was unknown may be there after all.
			for _, ch := range w.log.Channels() {
				ch.enforce()
				ch.wake()
			}
			return true
		}
		w.log.failed(err)
	}
	return errors.Is(err, stores.ErrFenced) || errors.Is(err, stores.ErrClosed) // nothing is found out any more
}

// probe finds out what became of the last batch, and whether the database works.
func (w *writer) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	if _, err := w.store.Append(ctx, nil); err != nil {
		return err
	}
	return w.store.RenewLease(ctx)
}

// adapt bounds the next batch. However slow the database is, a batch should take a small part of the timeout, since one that
// takes all of it stores nothing, and longBatch at most, since that is how long a message on another channel waits for it.
func (w *writer) adapt(messages int, took time.Duration) {
	long := min(w.timeout/4, longBatch)
	switch {
	case messages >= w.fit && took > long:
		w.fit = min(max(w.fit/2, leastFit), w.maxMsgs)
	case messages >= w.fit && took < long/3:
		w.fit = min(2*w.fit, w.maxMsgs)
	}
}

// commit stores a batch, wakes readers, and answers. The error is the batch's: some of its messages may be stored
// nevertheless, and all were answered.
func (w *writer) commit(ctx context.Context, batch []*entry) error {
	appends := w.appends[:0]
	deadline := batch[0].deadline
	for _, e := range batch {
		appends = append(appends, e.appends...)
		if e.deadline.Before(deadline) {
			deadline = e.deadline
		}
	}
	start := time.Now()
	ctx, cancel := context.WithDeadline(ctx, later(deadline, start.Add(w.timeout/leastShare)))
	defer cancel()
	results, err := w.store.Append(ctx, appends)
	took := time.Since(start)
	w.log.metrics.Committed(took, results)
	w.adapt(len(appends), took)
	if err != nil {
		w.log.failed(err)
	}
	stored := make(map[*Channel][]stores.Message)
	i := 0
	for _, e := range batch {
		for j := range e.appends {
			r := &results[i+j]
			if r.Err != nil || r.Duplicate {
				continue
			}
			stored[e.ch] = append(stored[e.ch], r.Message)
			for k, m := range r.Copies {
				to := e.copies[j][k]
				stored[to] = append(stored[to], m)
			}
		}
		i += len(e.appends)
	}
	if err == nil && len(stored) > 0 { // duplicates and refusals cost no commit
		w.pace.committed(len(appends), took)
	}
	for ch, msgs := range stored {
		ch.committed(msgs)
	}
	held := 0
	i = 0
	for _, e := range batch {
		n := len(e.appends)
		e.Answer(results[i : i+n : i+n])
		held += e.Held
		i += n
	}
	w.log.finished(held, batch...)
	clear(appends)
	w.appends = appends[:0]
	return err
}
