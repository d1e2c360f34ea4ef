package eventlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// queued adds a decoded submission.
func (q *queue) queued(channel, text string, messages int) {
	e := &entry{Submission: Submission{Channel: channel}, appends: make([]stores.Append, messages), bytes: messages, deadline: time.Now().Add(time.Hour)}
	e.appends[0].Reply = text
	l, _ := q.put(e, true)
	q.finish(l, e, false)
}

func taken(t *testing.T, q *queue, maxMsgs, maxBytes int) []string {
	t.Helper()
	batch, open := q.nextBatch(nil, maxMsgs, maxBytes)
	if !open {
		t.Fatal("the queue has ended")
	}
	var texts []string
	for _, e := range batch {
		texts = append(texts, e.appends[0].Reply)
	}
	return texts
}

// A burst on one channel does not delay another channel's messages, and each channel keeps its order.
func TestQueueTakesInTurn(t *testing.T) {
	t.Parallel()
	q := newQueue()
	for _, text := range []string{"b1", "b2", "b3", "b4"} {
		q.queued("burst", text, 1)
	}
	q.queued("other", "o1", 1)
	q.queued("other", "o2", 1)
	if got, want := taken(t, q, 3, 100), []string{"b1", "o1", "b2"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	q.queued("other", "g", 2)
	if got, want := taken(t, q, 4, 100), []string{"o2", "b3", "g"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	q.queued("burst", "b5", 1)
	if got, want := taken(t, q, 9, 1), []string{"b4"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
	select {
	case <-q.ready:
	default:
		t.Error("b5 is not signalled")
	}
	if got, want := taken(t, q, 9, 100), []string{"b5"}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v", got, want)
	}
}

// The writer learns of the end even if it takes the last messages at the same time.
func TestQueueEnds(t *testing.T) {
	t.Parallel()
	q := newQueue()
	q.queued("c", "last", 1)
	q.end()
	for open, n := true, 0; open; n++ {
		select {
		case <-q.ready:
		default:
			t.Fatalf("the end is not signalled, after %d signals", n)
		}
		_, open = q.nextBatch(nil, 3, 100)
	}
	if l, _ := q.nextRaw(); l != nil {
		t.Error("a decoder does not learn of the end")
	}
}

// queueHistory runs decoders, the writer, the creator and the clock against a queue.
type queueHistory struct {
	t       *testing.T
	seed    uint64
	r       *rand.Rand
	q       *queue
	now     time.Time
	entries []*entry
	// The fate of each entry, by its number in Held.
	answered  []bool
	expired   []bool
	inHand    []*entry // entries being decoded
	lines     map[*entry]*line
	suspended []*entry
	last      map[string]int // number of the last committed entry, by channel
	calls     []int          // number of entries that each call waits for
	called    []bool
}

func (h *queueHistory) fatal(format string, args ...any) {
	h.t.Helper()
	h.t.Fatalf("seed %d: %s", h.seed, fmt.Sprintf(format, args...))
}

func (h *queueHistory) answer(entries ...*entry) {
	for _, e := range entries {
		if h.answered[e.Held] {
			h.fatal("%d is answered twice", e.Held)
		}
		h.answered[e.Held] = true
	}
	for _, f := range h.q.answered(entries...) {
		f()
	}
}

func (h *queueHistory) step() {
	switch h.r.IntN(11) {
	case 0, 1: // a submission, decoded at once if possible
		e := &entry{deadline: h.now.Add(time.Duration(h.r.IntN(50))), appends: make([]stores.Append, 1), bytes: 1}
		e.Channel, e.Held = fmt.Sprint(h.r.IntN(4)), len(h.entries)
		l, ok := h.q.put(e, h.r.IntN(2) == 0)
		if !ok {
			h.fatal("the queue accepts nothing")
		}
		h.entries, h.answered, h.expired = append(h.entries, e), append(h.answered, false), append(h.expired, false)
		if l != nil {
			h.lines[e] = l
			h.inHand = append(h.inHand, e)
		}
	case 2, 3: // a decoder takes an entry
		if h.q.decode.len() > 0 {
			h.decode()
		}
	case 4, 5, 6: // a decoder finishes
		if len(h.inHand) > 0 {
			h.decoded(h.r.IntN(len(h.inHand)), h.r.IntN(6))
		}
	case 7: // a channel is created or refused
		if len(h.suspended) > 0 {
			h.resume(h.r.IntN(len(h.suspended)), h.r.IntN(3) == 0)
		}
	case 8: // a batch
		h.commit()
	case 9: // time passes
		h.now = h.now.Add(time.Duration(h.r.IntN(10)))
		h.expire(false)
	case 10:
		h.after()
	}
}

func (h *queueHistory) decode() {
	// If all lines have expired, nextRaw would wait.
	for _, o := range h.q.decode.owners {
		if slices.ContainsFunc(o.items.items[o.items.head:], func(l *line) bool { return l.raw.len() > 0 }) {
			l, e := h.q.nextRaw()
			h.lines[e] = l
			h.inHand = append(h.inHand, e)
			return
		}
	}
}

func (h *queueHistory) decoded(i, outcome int) {
	e := h.inHand[i]
	h.inHand = slices.Delete(h.inHand, i, i+1)
	switch outcome {
	case 0:
		h.q.finish(h.lines[e], e, true)
		h.answer(e)
	case 1:
		h.q.suspend(h.lines[e], e)
		h.suspended = append(h.suspended, e)
	default:
		h.q.finish(h.lines[e], e, false)
	}
}

func (h *queueHistory) resume(i int, refuse bool) {
	e := h.suspended[i]
	h.suspended = slices.Delete(h.suspended, i, i+1)
	if refused := h.q.resume(h.lines[e], e, refuse); refused {
		if h.expired[e.Held] {
			h.fatal("%d is refused after it expired", e.Held)
		}
		h.answer(e)
	} else if refuse && !h.expired[e.Held] {
		h.fatal("%d waits, but was not refused", e.Held)
	}
}

func (h *queueHistory) commit() {
	batch, _ := h.q.nextBatch(nil, 1+h.r.IntN(5), 100)
	for _, e := range batch {
		if last, ok := h.last[e.Channel]; ok && e.Held < last {
			h.fatal("%d is committed after %d on channel %s", e.Held, last, e.Channel)
		}
		h.last[e.Channel] = e.Held
	}
	h.answer(batch...)
}

func (h *queueHistory) expire(all bool) {
	horizon := h.now.Add(20)
	expired, next := h.q.expire(h.now, horizon)
	if next.After(horizon) {
		h.fatal("the next pass is beyond the horizon")
	}
	if all {
		expired = append(expired, h.q.clear()...)
	}
	for _, e := range expired {
		if !all && e.deadline.After(h.now) {
			h.fatal("%d expired early", e.Held)
		}
		h.expired[e.Held] = true
	}
	h.answer(expired...)
	for _, e := range h.entries {
		if h.answered[e.Held] || slices.Contains(h.inHand, e) {
			continue
		}
		if all {
			h.fatal("%d is left", e.Held)
		}
		if !e.deadline.After(h.now) {
			h.fatal("%d waits beyond its deadline", e.Held)
		}
		if next.After(e.deadline) {
			h.fatal("%d is due before the next pass", e.Held)
		}
	}
}

func (h *queueHistory) after() {
	n, number := len(h.entries), len(h.calls)
	h.calls, h.called = append(h.calls, n), append(h.called, false)
	call := func() {
		if i := slices.Index(h.answered[:n], false); i >= 0 {
			h.fatal("called while %d is not answered", i)
		}
		h.called[number] = true
	}
	if !h.q.after(call) {
		call()
	}
}

// In any order of decoders, writer, new channels and deadlines, each submission is answered once and none waits past
// its deadline. Each channel keeps its order, and calls come exactly when everything before them is answered.
func TestQueueOfHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1000) {
		h := &queueHistory{
			t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 3)), q: newQueue(), now: time.Now(),
			lines: make(map[*entry]*line), last: make(map[string]int),
		}
		for range 300 {
			h.step()
			for i, n := range h.calls {
				if !h.called[i] && !slices.Contains(h.answered[:n], false) {
					h.fatal("call %d is late", i)
				}
			}
		}
		h.q.close()
		if _, ok := h.q.put(&entry{}, false); ok {
			h.fatal("a closed queue accepts a submission")
		}
		for len(h.inHand) > 0 {
			h.decoded(0, 2)
		}
		h.expire(true)
		for len(h.suspended) > 0 {
			h.resume(0, true)
		}
		select {
		case <-h.q.drained:
		default:
			h.fatal("not drained")
		}
		if slices.Contains(h.answered, false) || slices.Contains(h.called, false) {
			h.fatal("answered %v, called %v", h.answered, h.called)
		}
		h.q.end()
		if l, _ := h.q.nextRaw(); l != nil {
			h.fatal("a line is left")
		}
		if len(h.q.lines) > 0 {
			h.fatal("%d lines are left", len(h.q.lines))
		}
	}
}

// A deadline earlier than all known ones wakes expire.
func TestQueueTellsOfEarlierDeadlines(t *testing.T) {
	t.Parallel()
	q := newQueue()
	now := time.Now()
	for _, it := range []struct {
		deadline time.Duration
		tells    bool
	}{{50, true}, {60, false}, {40, true}, {45, false}} {
		q.put(&entry{Submission: Submission{Channel: "c"}, deadline: now.Add(it.deadline)}, false)
		select {
		case <-q.due:
			if !it.tells {
				t.Errorf("a deadline in %d is signalled, but is not the earliest", it.deadline)
			}
		default:
			if it.tells {
				t.Errorf("the earliest deadline, in %d, is not signalled", it.deadline)
			}
		}
	}
}
