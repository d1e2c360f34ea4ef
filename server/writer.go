package server

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// appender is what the writer needs of the store.
type appender interface {
	Append(ctx context.Context, batch []stores.Append) ([]stores.Result, error)
}

// publication is a validated message on its way to the store.
type publication struct {
	ch     *channel
	append stores.Append
	copies []*channel // of append.Copies
	guid   string
	ack    string // subject of the PubAck
	// answer, if not nil, is called with the result in place of a PubAck.
	answer func(stores.Result)
	// group, if not nil, makes this no message but several that are in one batch.
	group []publication
	// held is what the message counts in the inbox until it is answered; 0: it did not come through that.
	held int
}

// size is what a message counts in a batch, in bytes.
func (p *publication) size() int {
	size := len(p.append.Payload)
	if p.append.Mapping != nil {
		size += len(p.append.Event.Data) // it may be JSON, many times longer than the payload
	}
	return size * (1 + len(p.copies))
}

// writer commits published messages in groups: it takes whatever was queued while the previous
// commit ran, stores it in one transaction, lets subscribers have it and then answers the
// publishers. There is no timer: an idle writer commits a lone message at once.
type writer struct {
	store    appender
	metrics  *metrics
	queue    *queue
	maxMsgs  int
	maxBytes int
	fit      int // bound of the next batch's messages, up to maxMsgs: see adapt
	pace     *pacing
	timeout  time.Duration // of one batch, while the database is unavailable
	respond  func(subject string, ack *pb.PubAck)
	release  func(messages, held int) // when they were answered
	// enforce keeps a channel within its limits after messages were added.
	enforce func(*channel)
	// failed is told of an error that affects whole batches; settled is called when the state of the
	// database is known again after one.
	failed  func(error)
	settled func()
}

// leastFit is what a batch may hold however slow the database is: the time of fewer is that of the commit, not of the rows.
const leastFit = 256

// longBatch is the time of a batch after which the next ones are smaller.
const longBatch = 150 * time.Millisecond

// settleInterval is the pause before asking again what became of a batch whose outcome is unknown.
const settleInterval = time.Second

// run commits until the queue is closed and drained. It does not end with a context, so that what
// was received before a stop is still stored and answered.
func (w *writer) run() {
	batch := make([]publication, 0, w.maxMsgs)
	w.fit = min(leastFit, w.maxMsgs)
	var settle <-chan time.Time // runs while the outcome of the last commit may be unknown
	for {
		select {
		case <-w.queue.ready:
			var open bool
			if batch, open = w.queue.take(batch[:0], w.fit, w.maxBytes); !open {
				return
			}
			if err := w.commit(batch); err != nil {
				settle = time.After(settleInterval)
			}
			clear(batch)
			for _, f := range w.queue.due() {
				f()
			}
		case <-settle:
			// An empty batch rereads what became of the last one; its messages may be there after all.
			if settle = nil; w.commit(nil) != nil {
				settle = time.After(settleInterval)
			} else {
				w.settled()
			}
		}
	}
}

// adapt bounds the next batch such that it takes a small part of the timeout, however slow the database is, since one that takes
// all of it is stored by none; and about longBatch at most, since that is how long a message on another channel waits for it.
func (w *writer) adapt(messages int, took time.Duration) {
	long := min(w.timeout/4, longBatch)
	switch {
	case messages >= w.fit && took > long:
		w.fit = min(max(w.fit/2, leastFit), w.maxMsgs)
	case messages >= w.fit && took < long/3:
		w.fit = min(2*w.fit, w.maxMsgs)
	}
}

// commit stores a batch, wakes subscribers, and answers publishers. The error is the batch's: some of its
// messages may be stored nevertheless, and all were answered.
func (w *writer) commit(batch []publication) error {
	appends := make([]stores.Append, len(batch))
	for i := range batch {
		appends[i] = batch[i].append
	}
	ctx, cancel := context.WithTimeout(context.Background(), w.timeout)
	defer cancel()
	start := time.Now()
	results, err := w.store.Append(ctx, appends)
	took := time.Since(start)
	w.metrics.committed(took, results)
	w.adapt(len(batch), took)
	if err != nil {
		w.failed(err)
	}
	stored := make(map[*channel][]stores.Message)
	for i := range batch {
		if results[i].Err == nil && !results[i].Duplicate {
			stored[batch[i].ch] = append(stored[batch[i].ch], results[i].Message)
			for j, m := range results[i].Copies {
				to := batch[i].copies[j]
				stored[to] = append(stored[to], m)
			}
		}
	}
	if err == nil && len(stored) > 0 { // duplicates and refusals cost no commit
		w.pace.committed(len(batch), took)
	}
	for ch, msgs := range stored {
		ch.published(msgs)
		w.enforce(ch)
	}
	messages, held := 0, 0
	for i := range batch {
		if batch[i].held > 0 {
			messages, held = messages+1, held+batch[i].held
		}
		if answer := batch[i].answer; answer != nil {
			answer(results[i])
			continue
		}
		ack := &pb.PubAck{Guid: batch[i].guid}
		switch err := results[i].Err; {
		case errors.Is(err, stores.ErrUnknownChannel):
			ack.Error = errChannelDeleted.Error() // since the message was received
		case err != nil:
			ack.Error = stanError(err).Error()
		}
		w.respond(batch[i].ack, ack)
	}
	w.release(messages, held)
	return err
}
