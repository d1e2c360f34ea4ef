package server

import (
	"context"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// batchMsgs and batchBytes bound one read of stored messages that a group has memory for.
	batchMsgs  = 1024
	batchBytes = 512 << 10
	// smallBytes bounds a read of messages that are sent at once or read again.
	smallBytes = 64 << 10
	// concurrentReads is how many groups read at a time, if there are enough connections: replays must leave some of
	// the database to publishers.
	concurrentReads = 4
)

// reading bounds what all groups together ask of the store, and what they hold of its answers.
type reading struct {
	turns chan struct{} // one for each read that runs; who waits is served in turn

	mu   sync.Mutex // guards free
	free int        // batches that groups may still hold
	half int
}

// newReading returns the bounds for a number of connections and of bytes to hold.
func newReading(connections int, bytes int64) *reading {
	batches := int(bytes / batchBytes)
	return &reading{
		// At most half of the connections, so that the writer never waits for one.
		turns: make(chan struct{}, max(1, min(concurrentReads, connections/2))),
		free:  batches,
		half:  batches / 2,
	}
}

// turn waits until a read may run; the caller calls done after it.
func (r *reading) turn(ctx context.Context) (done func(), err error) {
	select {
	case r.turns <- struct{}{}:
		return func() { <-r.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take reserves the memory of a batch. A second one, ahead of the one that is being sent, is to be had only while half
// of the memory is free, so that many replays have one each.
func (r *reading) take(second bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free == 0 || second && r.free <= r.half {
		return false
	}
	r.free--
	return true
}

func (r *reading) give() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free++
}

// ahead is what a group has read and not sent, and the read that runs. The group's goroutine owns it.
type ahead struct {
	msgs []stores.Message // to be sent next
	// held says that memory is reserved for msgs. Without it, what can not be sent at once is forgotten and read again.
	held bool
	next chan batch // gets the batch that is being read; nil: none is
}

// batch is the answer of a read.
type batch struct {
	msgs []stores.Message
	held bool
	err  error
}

// ready is the channel of the next batch, if that is what to wait for.
func (a *ahead) ready() <-chan batch {
	if len(a.msgs) > 0 {
		return nil
	}
	return a.next
}

// read begins to read stored messages from a sequence on, up to the last one that is stored. window is how many can be
// sent now: no more are read if there is no memory to hold them.
func (g *group) read(ctx context.Context, a *ahead, from uint64, window int) {
	second := len(a.msgs) > 0
	held := g.ch.reading.take(second)
	if !held && second {
		return
	}
	maxMsgs, maxBytes := batchMsgs, batchBytes
	if !held {
		maxMsgs, maxBytes = min(maxMsgs, window), smallBytes
	}
	to := g.ch.stored.Info().Last
	next := make(chan batch, 1)
	a.next = next
	go func() { // the group waits for it: in run, or in drop
		msgs, err := g.ch.readStored(ctx, from, to, maxMsgs, maxBytes)
		next <- batch{msgs, held, err}
	}()
}

// arrived takes a batch over.
func (g *group) arrived(a *ahead, b batch) error {
	a.next = nil
	if len(b.msgs) == 0 && b.held {
		g.ch.reading.give()
		b.held = false
	}
	a.msgs, a.held = b.msgs, b.held
	return b.err
}

// sent takes note that the first n messages were sent.
func (g *group) sent(a *ahead, n int) {
	if a.msgs = a.msgs[n:]; len(a.msgs) > 0 && a.held {
		return
	}
	a.msgs = nil
	if a.held {
		g.ch.reading.give()
		a.held = false
	}
}

// drop forgets what was read, and waits for the read that runs.
func (g *group) drop(a *ahead) {
	g.sent(a, len(a.msgs))
	if a.next != nil {
		if b := <-a.next; b.held {
			g.ch.reading.give()
		}
		a.next = nil
	}
}
