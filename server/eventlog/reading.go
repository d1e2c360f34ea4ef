package eventlog

import (
	"context"
	"sync"
	"time"
)

const (
	// batchMsgs and batchBytes bound one read of messages for which there is memory.
	batchMsgs  = 1024
	batchBytes = 512 << 10
	// smallBytes bounds a read of messages that are taken at once or read again.
	smallBytes = 64 << 10
	// concurrentReads is how many cursors read at a time, if there are enough connections: replays must leave some of
	// the database to publishers.
	concurrentReads = 4
	// readRetry is the pause after a failed read.
	readRetry = 500 * time.Millisecond
)

// reading bounds what all cursors together ask of the store, and what they hold of its answers.
type reading struct {
	turns chan struct{} // one for each read that runs; those who wait are served in turn

	mu   sync.Mutex // guards free
	free int        // batches that cursors may still hold
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

// take reserves the memory of a batch. A second one, ahead of the one that is being sent, is granted only while half of the
// memory is free, so that many replays have one each.
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
