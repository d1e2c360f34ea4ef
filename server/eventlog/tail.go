package eventlog

import (
	"container/list"
	"slices"
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Bounds of one channel's tail. Live subscribers, which are a few batches behind at most, need no query.
const (
	tailMsgs  = 4096
	tailBytes = 4 << 20
	// tailOverhead is the memory of a message beside its data, in bytes.
	tailOverhead = 64
)

// kind says where a message of a line has its place, and how many bytes it takes in memory.
type kind[M any] interface {
	place(m *M) uint64
	size(m *M) int
}

// bySequence is the kind of the messages of a channel.
type bySequence struct{}

func (bySequence) place(m *stores.Message) uint64 { return m.Sequence }
func (bySequence) size(m *stores.Message) int     { return len(m.Data) }

// tail keeps a channel's last committed messages in memory.
type tail = memory[stores.Message, bySequence]

// memory keeps the last committed messages of a line: those of a channel, or all events. Only its tails modifies it.
type memory[M any, K kind[M]] struct {
	mu    sync.RWMutex // guards msgs and bytes; locked after the mutex of tails
	msgs  []M
	bytes int
	kind  K

	in *list.Element // in tails.order, nil while empty; guarded by the mutex of tails
}

// remembered is a memory of any kind.
type remembered interface {
	forget(upTo uint64) int
	clear() int
	element() **list.Element
}

// tails bounds the memory of all tails together. Beyond the bound, the channels least recently published to lose
// theirs.
type tails struct {
	max int // bytes

	mu    sync.Mutex // guards used and order
	used  int
	order list.List // of remembered, the most recently used at the back
}

func newTails(bytes int64) *tails { return &tails{max: int(bytes)} }

// remember appends committed messages to a memory.
func remember[M any, K kind[M]](a *tails, t *memory[M, K], msgs []M) {
	if len(msgs) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used += t.add(msgs, min(tailBytes, a.max))
	if t.in == nil {
		t.in = a.order.PushBack(t)
	}
	a.order.MoveToBack(t.in)
	for a.used > a.max && a.order.Front() != t.in {
		a.drop(a.order.Front().Value.(remembered))
	}
}

// forget drops a tail's messages up to a sequence, which are no longer stored.
func (a *tails) forget(t remembered, upTo uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= t.forget(upTo)
}

// remove drops a memory that nobody reads any more.
func (a *tails) remove(t remembered) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *t.element() != nil {
		a.drop(t)
	}
}

// drop empties a tail. The caller holds a.mu.
func (a *tails) drop(t remembered) {
	a.used -= t.clear()
	a.order.Remove(*t.element())
	*t.element() = nil
}

func (t *memory[M, K]) element() **list.Element { return &t.in }

// add appends messages. It drops the oldest beyond the bounds, and all before a gap in the sequences. It returns the
// growth in bytes.
func (t *memory[M, K]) add(msgs []M, maxBytes int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.bytes
	for i := range msgs {
		m := &msgs[i]
		if n := len(t.msgs); n > 0 && t.kind.place(m) != t.kind.place(&t.msgs[n-1])+1 {
			// A gap: messages were committed unnoticed, after an unknown outcome or by another process.
			t.msgs, t.bytes = nil, 0
		}
		t.msgs = append(t.msgs, *m)
		t.bytes += t.kind.size(m) + tailOverhead
	}
	var none M
	drop := 0
	for drop < len(t.msgs) && (len(t.msgs)-drop > tailMsgs || t.bytes > maxBytes) {
		t.bytes -= t.kind.size(&t.msgs[drop]) + tailOverhead
		t.msgs[drop] = none
		drop++
	}
	t.msgs = t.msgs[drop:]
	return t.bytes - before
}

// forget drops messages up to a sequence and returns the bytes that they took.
func (t *memory[M, K]) forget(upTo uint64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	var none M
	before, drop := t.bytes, 0
	for drop < len(t.msgs) && t.kind.place(&t.msgs[drop]) <= upTo {
		t.bytes -= t.kind.size(&t.msgs[drop]) + tailOverhead
		t.msgs[drop] = none
		drop++
	}
	if t.msgs = t.msgs[drop:]; drop > len(t.msgs) {
		t.msgs = slices.Clone(t.msgs) // lets the dropped messages be collected
	}
	return before - t.bytes
}

// clear drops all messages and returns the bytes that they took.
func (t *memory[M, K]) clear() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	bytes := t.bytes
	t.msgs, t.bytes = nil, 0
	return bytes
}

// reaches reports whether a message is in memory or not yet stored.
func (t *memory[M, K]) reaches(at uint64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.msgs) > 0 && at >= t.kind.place(&t.msgs[0])
}

// read returns a copy of up to max messages from a place on. It returns nil if the tail does not reach back that
// far, or has nothing there.
func (t *memory[M, K]) read(from, to uint64, max int) []M {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.msgs) == 0 || from < t.kind.place(&t.msgs[0]) {
		return nil
	}
	i := from - t.kind.place(&t.msgs[0])
	if i >= uint64(len(t.msgs)) {
		return nil
	}
	rest := t.msgs[i:]
	if n := to - from + 1; uint64(len(rest)) > n {
		rest = rest[:n]
	}
	if len(rest) > max {
		rest = rest[:max]
	}
	return append([]M(nil), rest...)
}

// get returns the message at a place and true. If it is not in memory, it returns the first one in memory, if any, and
// false.
func (t *memory[M, K]) get(at uint64) (m M, found bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.msgs) == 0 {
		return m, false
	}
	first := t.kind.place(&t.msgs[0])
	if i := at - first; at >= first && i < uint64(len(t.msgs)) {
		return t.msgs[i], true
	}
	return t.msgs[0], false
}

// within returns the first messages, up to a number of bytes but at least one. It clears the others, which a slow
// reader would otherwise keep in memory.
func within[M any](of kind[M], msgs []M, bytes int) []M {
	for i := range msgs {
		if bytes -= of.size(&msgs[i]); bytes < 0 && i > 0 {
			clear(msgs[i:])
			return msgs[:i]
		}
	}
	return msgs
}
