package eventlog

import (
	"context"
	"sync"
	"time"
)

const (
	// batchMsgs and batchBytes bound one read for which memory is reserved.
	batchMsgs  = 1024
	batchBytes = 512 << 10
	// smallBytes bounds a read whose messages are taken at once or read again.
	smallBytes = 64 << 10
	// concurrentReads bounds how many cursors read at once, so that replays leave part of the database to publishers.
	concurrentReads = 4
	// readRetry is the pause after a failed read.
	readRetry = 500 * time.Millisecond
)

// reading bounds the reads of all cursors and the messages that they hold.
type reading struct {
	turns chan struct{} // one entry per running read; waiters are served in order

	mu   sync.Mutex // guards free
	free int        // batches not yet reserved
	half int
}

// newReading returns bounds for a number of connections and of bytes to hold.
func newReading(connections int, bytes int64) *reading {
	batches := int(bytes / batchBytes)
	return &reading{
		// At most half of the connections, so that the writer always has one.
		turns: make(chan struct{}, max(1, min(concurrentReads, connections/2))),
		free:  batches,
		half:  batches / 2,
	}
}

// turn waits until a read may run. The caller calls done after it.
func (r *reading) turn(ctx context.Context) (done func(), err error) {
	select {
	case r.turns <- struct{}{}:
		return func() { <-r.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// reserve reserves the memory of a batch. A second batch, read ahead, is granted only while more than half of the memory
// is free, so that many replays have one each.
func (r *reading) reserve(second bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.free == 0 || second && r.free <= r.half {
		return false
	}
	r.free--
	return true
}

func (r *reading) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free++
}
