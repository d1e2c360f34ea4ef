package eventlog

import (
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// queue is where submissions wait, in a line for each channel, first to be decoded and then to be committed. Decoders and
// the writer take from submitters in turn, and from the lines of each in turn, so that the burst of one, on one channel or on
// many, delays the message of another by a batch or two, not by the burst.
type queue struct {
	ready chan struct{} // one slot: the writer has something to take, or the queue has ended
	due   chan struct{} // one slot: a deadline is earlier than the one last returned by expire

	mu       sync.Mutex // guards what follows
	lines    map[string]*line
	decode   turns[*line] // lines with something to decode, unless a decoder has them; by submitter of the first
	commit   turns[*line] // lines with something to commit, likewise
	work     *sync.Cond   // decode is not empty, or the queue has ended
	open     int          // submissions that are not answered
	next     time.Time    // the earliest deadline, as expire returned it or expect learned it; zero: none
	barriers []*barrier   // the last one collects what arrives now
	closed   bool         // takes nothing more
	ended    bool         // decoders and the writer are to end
	drained  chan struct{}
}

// line is what waits for one channel, by arrival.
type line struct {
	name    string
	raw     fifo[*entry] // to be decoded
	decoded fifo[*entry] // to be committed
	busy    bool         // it has its turn to be decoded, or is, or waits for a channel to be created
	turn    bool         // it has its turn to be committed
}

// entry is a submission on its way through the log.
type entry struct {
	Submission
	deadline time.Time
	barrier  *barrier

	// What decoding found. Only the goroutine that has the entry uses it.
	ch       *Channel
	messages []Message
	appends  []stores.Append
	copies   [][]*Channel // of each append; nil: there are none
	bytes    int          // what it counts in a batch
}

// barrier counts the submissions between two calls of after.
type barrier struct {
	open  int
	calls []func() // once nothing is open before it either
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
	default: // it is signalled
	}
}

// put adds a submission to its line. It reports false if the queue is closed. If the caller wants to decode the
// submission itself and nothing is before it, put returns its line, for the caller to call finish.
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

// expect wakes the goroutine of expire if a deadline comes before all that it knows. The caller holds q.mu.
func (q *queue) expect(deadline time.Time) {
	if q.next.IsZero() || deadline.Before(q.next) {
		q.next = deadline
		signal(q.due)
	}
}

// offer gives a line its turn to be decoded, if it has something and nobody is at it. The caller holds q.mu.
func (q *queue) offer(l *line) {
	if !l.busy && l.raw.len() > 0 {
		l.busy = true
		q.decode.push(l.raw.first().From, l)
		q.work.Signal()
	}
}

// offerDecoded gives a line its turn to be committed, if it has something. The caller holds q.mu.
func (q *queue) offerDecoded(l *line) {
	if !l.turn && l.decoded.len() > 0 {
		l.turn = true
		q.commit.push(l.decoded.first().From, l)
	}
}

// nextRaw waits for the line whose turn it is, and takes its first submission. The caller decodes it and calls finish, or
// suspend. It returns nil when the queue has ended.
func (q *queue) nextRaw() (*line, *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for q.decode.len() > 0 {
			l := q.decode.pop()
			if l.raw.len() > 0 {
				return l, l.raw.pop()
			}
			l.busy = false // all of it has expired
			q.forget(l)
		}
		if q.ended {
			return nil, nil
		}
		q.work.Wait()
	}
}

// finish hands a decoded submission on to the writer, or drops one that the caller refuses and will answer. The line's next
// one may be decoded.
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

// suspend puts a submission back as the first one of its line, which waits for a channel until resume.
func (q *queue) suspend(l *line, e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.raw.unpop(e)
	q.expect(e.deadline)
}

// resume has a suspended line go on. If refuse is set and the submission still waits, it is removed for the caller to answer.
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

// forget drops a line that holds nothing. The caller holds q.mu.
func (q *queue) forget(l *line) {
	if !l.busy && l.raw.len() == 0 && l.decoded.len() == 0 && q.lines[l.name] == l {
		delete(q.lines, l.name)
	}
}

// take appends to the empty batch what is next for the writer, until it reaches a bound. It reports false when the queue
// has ended.
func (q *queue) take(batch []*entry, maxMsgs, maxBytes int) ([]*entry, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	msgs, bytes := 0, 0
	for q.commit.len() > 0 && msgs < maxMsgs && bytes < maxBytes {
		l := q.commit.pop()
		l.turn = false
		if l.decoded.len() == 0 {
			continue // all of it has expired
		}
		e := l.decoded.pop()
		q.offerDecoded(l)
		q.forget(l)
		msgs += len(e.appends)
		bytes += e.bytes
		batch = append(batch, e)
	}
	if q.commit.len() > 0 || q.ended {
		signal(q.ready) // what was signalled meanwhile may be this
	}
	return batch, len(batch) > 0 || !q.ended
}

// expire removes and returns the submissions that wait and whose deadline has come. It also returns the earliest deadline
// of the others, or the horizon if that is earlier. What comes later with an earlier deadline than that signals due.
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

// clear removes and returns all submissions that wait.
func (q *queue) clear() []*entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.removeIf(func(*entry) bool { return true })
}

// removeIf removes and returns the submissions for which gone returns true, by the order of each line. The caller holds q.mu.
func (q *queue) removeIf(gone func(*entry) bool) (removed []*entry) {
	keep := func(e *entry) bool {
		if gone(e) {
			removed = append(removed, e)
			return false
		}
		return true
	}
	for _, l := range q.lines {
		l.decoded.filter(keep) // the older ones
		l.raw.filter(keep)
		q.forget(l)
	}
	return removed
}

// answered takes note that submissions were answered, and returns the calls that waited for that.
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

// after keeps a call until all that is open now was answered. It reports false if nothing is open.
func (q *queue) after(f func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == 0 {
		return false
	}
	last := q.barriers[len(q.barriers)-1]
	if last.open == 0 { // nothing came since the call before
		before := q.barriers[len(q.barriers)-2]
		before.calls = append(before.calls, f)
		return true
	}
	last.calls = append(last.calls, f)
	q.barriers = append(q.barriers, &barrier{})
	return true
}

// close has put refuse what comes. drained is closed once all that came before was answered.
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

// end ends nextRaw and take.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.work.Broadcast()
	signal(q.ready)
}

// unanswered returns how many submissions are not answered.
func (q *queue) unanswered() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open
}
