package server

import (
	"math"
	"sync"
)

// queue is where messages wait for the writer: in a line for each channel, by arrival. Batches take from the lines in turn,
// so that a burst on one channel delays the message on another by a batch or two, not by the burst.
//
// It has no bound of its own: what NATS delivers is bounded by the inbox until it is answered, calls of the API by their
// connections.
type queue struct {
	ready chan struct{} // one slot: there is something to take, or the queue was closed

	mu       sync.Mutex // guards what follows
	lines    map[*channel]*line
	turns    []*line // those that hold something; the first is next
	arrivals uint64
	barriers []barrier // by after
	closed   bool
}

// line is what waits for one channel, by arrival.
type line struct {
	ch      *channel
	waiting []arrival
}

type arrival struct {
	number uint64
	publication
}

// barrier is a call to be made when all that arrived before it was answered.
type barrier struct {
	after uint64 // number of the last arrival before it
	call  func()
}

func newQueue() *queue {
	return &queue{ready: make(chan struct{}, 1), lines: make(map[*channel]*line)}
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default: // it is signalled
	}
}

// put queues a message, or a group.
func (q *queue) put(p publication) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.arrivals++
	l := q.lines[p.ch]
	if l == nil {
		l = &line{ch: p.ch}
		q.lines[p.ch] = l
		q.turns = append(q.turns, l)
	}
	l.waiting = append(l.waiting, arrival{q.arrivals, p})
	q.signal()
}

// after calls f, on the writer's goroutine, when all that is queued now was answered.
func (q *queue) after(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.barriers = append(q.barriers, barrier{q.arrivals, f})
	q.signal()
}

// take appends to the empty batch what is next, until it reaches a bound. A group stays together. It reports false when the
// queue was closed and everything was taken.
func (q *queue) take(batch []publication, maxMsgs, maxBytes int) ([]publication, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes := 0
	for len(q.turns) > 0 && len(batch) < maxMsgs && bytes < maxBytes {
		l := q.turns[0]
		q.turns[0] = nil
		q.turns = q.turns[1:]
		p := l.waiting[0].publication
		l.waiting[0] = arrival{}
		if l.waiting = l.waiting[1:]; len(l.waiting) > 0 {
			q.turns = append(q.turns, l)
		} else {
			delete(q.lines, l.ch)
		}
		added := len(batch)
		if p.group != nil {
			batch = append(batch, p.group...)
		} else {
			batch = append(batch, p)
		}
		for i := range batch[added:] {
			bytes += batch[added+i].size()
		}
	}
	if len(q.turns) > 0 || q.closed {
		q.signal() // what was signalled meanwhile may be this
	}
	return batch, len(batch) > 0 || len(q.barriers) > 0 || !q.closed
}

// due removes and returns the calls for which nothing is left to be answered, given that all that was taken is.
func (q *queue) due() []func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.barriers) == 0 {
		return nil
	}
	first := uint64(math.MaxUint64) // arrival that still waits
	for _, l := range q.turns {
		first = min(first, l.waiting[0].number)
	}
	n := 0
	var calls []func()
	for n < len(q.barriers) && q.barriers[n].after < first {
		calls = append(calls, q.barriers[n].call)
		n++
	}
	clear(q.barriers[:n])
	q.barriers = q.barriers[n:]
	return calls
}

// close ends the writer when all was taken. Nothing may be put any more.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}
