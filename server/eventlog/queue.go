package eventlog

import (
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/keys"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// queue holds submissions in a line for each channel, first for decoding, then for the commit. Decoders and the writer
// serve submitters in turn, and each submitter's lines in turn. So a burst, on one channel or on many, delays another
// submitter's message by only a batch or two.
type queue struct {
	ready chan struct{} // one slot: the writer has work, or the queue has ended
	due   chan struct{} // one slot: a deadline is earlier than expire last returned

	mu       sync.Mutex // guards the fields below, lines and entries' barriers
	lines    map[string]*line
	decode   turns[*line] // lines with work for decoders, unless a decoder has them; by submitter of the first entry
	commit   turns[*line] // lines with work for the writer, likewise
	work     *sync.Cond   // decode is not empty, or the queue has ended
	open     int          // unanswered submissions
	next     time.Time    // earliest known deadline; zero before the first
	barriers []*barrier   // the last one counts new submissions
	closed   bool         // accepts no more submissions
	ended    bool         // decoders and the writer stop
	drained  chan struct{}
}

// line holds a channel's submissions in order of arrival.
type line struct {
	name    string
	raw     fifo[*entry] // to be decoded
	decoded fifo[*entry] // to be committed
	busy    bool         // in decode, being decoded, or waiting for a new channel
	turn    bool         // in commit
}

// entry is a submission on its way through the log.
type entry struct {
	Submission
	deadline time.Time
	barrier  *barrier

	// Results of decoding. Only the goroutine that has the entry uses them.
	ch       *Channel
	messages []Message
	appends  []stores.Append
	channels []*Channel   // of appends
	copies   [][]*Channel // channels of each append's copies; nil without copies
	keys     *keys.Set    // of its values to encrypt, if they had to be read
	bytes    int          // its size in a batch
}

// barrier counts the open submissions between two calls of after.
type barrier struct {
	open  int
	calls []func() // made once this barrier and all before it have nothing open
}

func newQueue() *queue {
	q := &queue{
		ready:    make(chan struct{}, 1),
		due:      make(chan struct{}, 1),
		lines:    make(map[string]*line),
		barriers: []*barrier{{}},
		drained:  make(chan struct{}),
	}
	q.work = sync.NewCond(&q.mu)
	return q
}

func signal(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default: // already signalled
	}
}

// put adds a submission to its line. It reports false if the queue is closed. If decodes is set and the line is free,
// it returns the line instead: the caller decodes the submission and calls finish.
func (q *queue) put(e *entry, decodes bool) (l *line, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, false
	}
	e.barrier = q.barriers[len(q.barriers)-1]
	e.barrier.open++
	q.open++
	l = q.lines[e.Channel]
	if l == nil {
		l = &line{name: e.Channel}
		q.lines[e.Channel] = l
	}
	if decodes && !l.busy && l.raw.len() == 0 {
		l.busy = true
		return l, true
	}
	l.raw.push(e)
	q.expect(e.deadline)
	q.offer(l)
	return nil, true
}

// expect wakes expire if a deadline is earlier than all it knows. The caller holds q.mu.
func (q *queue) expect(deadline time.Time) {
	if q.next.IsZero() || deadline.Before(q.next) {
		q.next = deadline
		signal(q.due)
	}
}

// offer queues a line for decoding if it has work and is not busy. The caller holds q.mu.
func (q *queue) offer(l *line) {
	if !l.busy && l.raw.len() > 0 {
		l.busy = true
		q.decode.push(l.raw.first().From, l)
		q.work.Signal()
	}
}

// offerDecoded queues a line for the writer if it has work. The caller holds q.mu.
func (q *queue) offerDecoded(l *line) {
	if !l.turn && l.decoded.len() > 0 {
		l.turn = true
		q.commit.push(l.decoded.first().From, l)
	}
}

// nextRaw waits for a line and takes its first submission. The caller decodes it, then calls finish or suspend. It
// returns nil when the queue has ended.
func (q *queue) nextRaw() (*line, *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for q.decode.len() > 0 {
			l := q.decode.pop()
			if l.raw.len() > 0 {
				return l, l.raw.pop()
			}
			l.busy = false // all its submissions have expired
			q.forget(l)
		}
		if q.ended {
			return nil, nil
		}
		q.work.Wait()
	}
}

// finish passes a decoded submission to the writer, or drops one that the caller refuses and answers. Then the line's
// next submission can be decoded.
func (q *queue) finish(l *line, e *entry, refused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.busy = false
	if !refused {
		q.expect(e.deadline)
		l.decoded.push(e)
		q.offerDecoded(l)
		signal(q.ready)
	}
	q.offer(l)
	q.forget(l)
}

// suspend puts a submission back in front of its line, which waits for a new channel until resume.
func (q *queue) suspend(l *line, e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.raw.unpop(e)
	q.expect(e.deadline)
}

// resume continues a suspended line. If refuse is set and the submission still waits, resume removes it and the caller
// answers it.
func (q *queue) resume(l *line, e *entry, refuse bool) (refused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.busy = false
	if refuse && l.raw.len() > 0 && l.raw.first() == e {
		l.raw.pop()
		refused = true
	}
	q.offer(l)
	q.forget(l)
	return refused
}

// forget drops an empty line. The caller holds q.mu.
func (q *queue) forget(l *line) {
	if !l.busy && l.raw.len() == 0 && l.decoded.len() == 0 && q.lines[l.name] == l {
		delete(q.lines, l.name)
	}
}

// nextBatch appends the writer's next submissions to the empty batch, up to its bounds. It reports false when the queue has
// ended.
func (q *queue) nextBatch(batch []*entry, maxMsgs, maxBytes int) ([]*entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	msgs, bytes := 0, 0
	for q.commit.len() > 0 && msgs < maxMsgs && bytes < maxBytes {
		l := q.commit.pop()
		l.turn = false
		if l.decoded.len() == 0 {
			continue // all its submissions have expired
		}
		e := l.decoded.pop()
		q.offerDecoded(l)
		q.forget(l)
		msgs += len(e.appends)
		bytes += e.bytes
		batch = append(batch, e)
	}
	if q.commit.len() > 0 || q.ended {
		signal(q.ready) // the slot may have held the signal for this work
	}
	return batch, len(batch) > 0 || !q.ended
}

// expire removes and returns waiting submissions whose deadline has passed. It also returns the next deadline, at most
// the horizon. An earlier deadline that comes later signals due.
func (q *queue) expire(now, horizon time.Time) (expired []*entry, next time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	next = horizon
	expired = q.removeIf(func(e *entry) bool {
		if !e.deadline.After(now) {
			return true
		}
		if e.deadline.Before(next) {
			next = e.deadline
		}
		return false
	})
	q.next = next
	return expired, next
}

// clear removes and returns all waiting submissions.
func (q *queue) clear() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.removeIf(func(*entry) bool { return true })
}

// removeIf removes and returns the submissions for which gone returns true, in the order of each line. The caller holds
// q.mu.
func (q *queue) removeIf(gone func(*entry) bool) (removed []*entry) {
	keep := func(e *entry) bool {
		if gone(e) {
			removed = append(removed, e)
			return false
		}
		return true
	}
	for _, l := range q.lines {
		l.decoded.filter(keep) // these are older
		l.raw.filter(keep)
		q.forget(l)
	}
	return removed
}

// answered records that submissions were answered and returns the calls that waited for them.
func (q *queue) answered(entries ...*entry) []func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		e.barrier.open--
	}
	q.open -= len(entries)
	var calls []func()
	for len(q.barriers) > 1 && q.barriers[0].open == 0 {
		calls = append(calls, q.barriers[0].calls...)
		q.barriers[0] = nil
		q.barriers = q.barriers[1:]
	}
	q.checkDrained()
	return calls
}

// after keeps a call until everything open now is answered. It reports false if nothing is open.
func (q *queue) after(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == 0 {
		return false
	}
	last := q.barriers[len(q.barriers)-1]
	if last.open == 0 { // no submission since the last call
		before := q.barriers[len(q.barriers)-2]
		before.calls = append(before.calls, f)
		return true
	}
	last.calls = append(last.calls, f)
	q.barriers = append(q.barriers, &barrier{})
	return true
}

// close makes put refuse submissions. drained is closed once all earlier ones are answered.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.checkDrained()
}

func (q *queue) checkDrained() {
	if q.closed && q.open == 0 {
		select {
		case <-q.drained:
		default:
			close(q.drained)
		}
	}
}

// end makes nextRaw and nextBatch return.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.work.Broadcast()
	signal(q.ready)
}

// unanswered returns the number of unanswered submissions.
func (q *queue) unanswered() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open
}
