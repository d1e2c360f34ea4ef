package eventlog

import (
	"context"
	"errors"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// appendStore is the part of the store that the writer uses.
type appendStore interface {
	Append(ctx context.Context, batch []stores.Append) ([]stores.Result, error)
	RenewLease(ctx context.Context) error
}

// writer commits submissions in groups. It takes what was queued during the previous commit, stores it in one
// transaction, passes it to readers and then answers. An idle writer commits a lone message at once.
type writer struct {
	log      *Log
	store    appendStore
	queue    *queue
	maxMsgs  int
	maxBytes int
	fit      int // most messages of the next batch, up to maxMsgs: see adapt
	stored   int // messages stored in channels with limits since as many were removed, up to mostStep: see retention.pruneStep
	pace     *pacing
	gather   gathering
	timeout  time.Duration // see Options.StoreTimeout
	calls    chan *call
	batch    []*entry        // reused
	appends  []stores.Append // reused
}

// call is a function to run on the writer's goroutine.
type call struct {
	f    func()
	done chan struct{}
}

func (c *call) run() {
	c.f()
	close(c.done)
}

const (
	// leastFit is the lowest bound of a batch, however slow the database is. Smaller batches spend their time on the
	// commit, not on rows.
	leastFit = 256
	// longBatch is the duration above which the next batches are smaller.
	longBatch = 150 * time.Millisecond
	// resolveInterval is the pause between two attempts to resolve the outcome of a batch.
	resolveInterval = time.Second
)

// run commits until the queue has ended. Once ctx has ended, the running commit fails.
func (w *writer) run(ctx context.Context) {
	var resolve <-chan time.Time // set while the outcome of the last commit may be unknown
	for {
		select {
		case <-w.queue.ready:
			w.await()
			var open bool
			if w.batch, open = w.queue.nextBatch(w.batch[:0], w.fit, w.maxBytes); !open {
				return
			}
			if len(w.batch) == 0 {
				continue
			}
			err := w.commit(ctx, w.batch)
			clear(w.batch)
			if err != nil && !w.awaitDatabase(ctx, err) {
				resolve = time.After(resolveInterval)
			}
			select {
			case c := <-w.calls: // such as a removal: batches that are always ready must not keep it waiting
				c.run()
			default:
			}
		case c := <-w.calls:
			c.run()
		case <-resolve:
			if resolve = nil; !w.awaitDatabase(ctx, nil) {
				resolve = time.After(resolveInterval)
			}
		}
	}
}

// await waits for those that were answered after the last commit, if that is worth it.
func (w *writer) await() {
	for {
		pause := w.gather.next(w.queue.unanswered(), time.Now())
		if pause == 0 {
			return
		}
		time.Sleep(pause)
	}
}

// onWriter calls f on the writer's goroutine, between two batches. It gives up if ctx ends first.
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

// awaitDatabase waits until the database works again after an error. Meanwhile each submission fails at its own
// deadline. It returns false if ctx ends or the error is of another kind: the outcome of the last batch then stays
// unknown.
func (w *writer) awaitDatabase(ctx context.Context, err error) bool {
	for err == nil || errors.Is(err, stores.ErrUnavailable) {
		if ctx.Err() != nil {
			return false
		}
		if err = w.probe(ctx); err == nil {
			// Messages of a batch with an unknown outcome may be stored after all.
			for _, ch := range w.log.Channels() {
				ch.enforce()
				ch.wake()
			}
			w.log.order.watchers.wake()
			return true
		}
		w.log.failed(err)
	}
	return errors.Is(err, stores.ErrFenced) || errors.Is(err, stores.ErrClosed) // the outcome can no longer be resolved here
}

// probe resolves the outcome of the last batch and checks that the database works.
func (w *writer) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	if _, err := w.store.Append(ctx, nil); err != nil {
		return err
	}
	return w.store.RenewLease(ctx)
}

// adapt bounds the next batch. A batch that takes the whole timeout stores nothing, so it should take a small part of
// it. It should also take at most longBatch, since messages on other channels wait that long.
func (w *writer) adapt(messages int, took time.Duration) {
	long := min(w.timeout/4, longBatch)
	switch {
	case messages >= w.fit && took > long:
		w.fit = min(max(w.fit/2, leastFit), w.maxMsgs)
	case messages >= w.fit && took < long/3:
		w.fit = min(2*w.fit, w.maxMsgs)
	}
}

// commit stores a batch, wakes readers and answers. Even with an error, some messages may be stored; all are answered.
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
	ctx, cancel := context.WithDeadline(ctx, transactionDeadline(deadline, w.timeout, w.log.outage.Load()))
	defer cancel()
	results, err := w.store.Append(ctx, appends)
	took := time.Since(start)
	w.log.metrics.Committed(took, results)
	w.adapt(len(appends), took)
	if failing := errors.Is(err, stores.ErrUnavailable); failing || err == nil {
		w.log.outage.Store(failing)
	}
	if err != nil {
		w.log.failed(err)
		signal(w.queue.due)
	} else {
		w.gather.committed(w.queue.unanswered(), start.Add(took), took)
	}
	stored := make(map[*Channel][]stores.Message)
	var events []Event
	ordered := w.log.order.watched()
	i := 0
	for _, e := range batch {
		for j := range e.appends {
			r := &results[i+j]
			if r.Err != nil || r.Duplicate {
				continue
			}
			ch := e.channels[j]
			stored[ch] = append(stored[ch], r.Message)
			if ordered && r.Position > 0 {
				events = append(events, newEvent(ch, r.Message, e.appends[j].Event))
			}
			e.stored(ch, r.Message)
			for k, m := range r.Copies {
				to := e.copies[j][k]
				stored[to] = append(stored[to], m)
				e.stored(to, m)
			}
		}
		i += len(e.appends)
	}
	if err == nil && len(stored) > 0 { // duplicates and refusals need no commit
		if w.log.o.Stored != nil {
			w.log.o.Stored()
		}
		w.pace.committed(len(appends), took)
	}
	if err != nil || len(stored) > 0 {
		w.log.traced(batch, Batch{Messages: len(appends), Began: start, Ended: start.Add(took), Err: err})
	}
	for ch, msgs := range stored {
		if ch.limits.prunes() {
			w.stored = min(w.stored+len(msgs), mostStep)
		}
		ch.committed(msgs)
	}
	w.log.order.committed(events)
	held := 0
	i = 0
	for _, e := range batch {
		n := len(e.appends)
		e.answer(results[i : i+n : i+n])
		held += e.Held
		i += n
	}
	w.log.finished(held, batch...)
	clear(appends)
	w.appends = appends[:0]
	return err
}
