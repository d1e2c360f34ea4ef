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

// tail keeps a channel's last committed messages in memory. Only its tails modifies it.
type tail struct {
	mu    sync.RWMutex // guards msgs and bytes; locked after the mutex of tails
	msgs  []stores.Message
	bytes int

	place *list.Element // in tails.order, nil while empty; guarded by the mutex of tails
}

// tails bounds the memory of all tails together. Beyond the bound, the channels least recently published to lose
// theirs.
type tails struct {
	max int // bytes

	mu    sync.Mutex // guards used and order
	used  int
	order list.List // of *tail, the most recently used at the back
}

func newTails(bytes int64) *tails { return &tails{max: int(bytes)} }

// add appends committed messages to a tail.
func (a *tails) add(t *tail, msgs []stores.Message) {
	if len(msgs) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used += t.add(msgs, min(tailBytes, a.max))
	if t.place == nil {
		t.place = a.order.PushBack(t)
	}
	a.order.MoveToBack(t.place)
	for a.used > a.max && a.order.Front() != t.place {
		a.drop(a.order.Front().Value.(*tail))
	}
}

// forget drops a tail's messages up to a sequence, which are no longer stored.
func (a *tails) forget(t *tail, upTo uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= t.forget(upTo)
}

// remove drops the tail of a deleted channel.
func (a *tails) remove(t *tail) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.place != nil {
		a.drop(t)
	}
}

// drop empties a tail. The caller holds a.mu.
func (a *tails) drop(t *tail) {
	a.used -= t.clear()
	a.order.Remove(t.place)
	t.place = nil
}

// add appends messages. It drops the oldest beyond the bounds, and all before a gap in the sequences. It returns the
// growth in bytes.
func (t *tail) add(msgs []stores.Message, maxBytes int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.bytes
	for _, m := range msgs {
		if n := len(t.msgs); n > 0 && m.Sequence != t.msgs[n-1].Sequence+1 {
			// A gap: messages were committed unnoticed, after an unknown outcome or by another process.
			t.msgs, t.bytes = nil, 0
		}
		t.msgs = append(t.msgs, m)
		t.bytes += len(m.Data) + tailOverhead
	}
	drop := 0
	for drop < len(t.msgs) && (len(t.msgs)-drop > tailMsgs || t.bytes > maxBytes) {
		t.bytes -= len(t.msgs[drop].Data) + tailOverhead
		t.msgs[drop] = stores.Message{}
		drop++
	}
	t.msgs = t.msgs[drop:]
	return t.bytes - before
}

// forget drops messages up to a sequence and returns the bytes that they took.
func (t *tail) forget(upTo uint64) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, drop := t.bytes, 0
	for drop < len(t.msgs) && t.msgs[drop].Sequence <= upTo {
		t.bytes -= len(t.msgs[drop].Data) + tailOverhead
		t.msgs[drop] = stores.Message{}
		drop++
	}
	if t.msgs = t.msgs[drop:]; drop > len(t.msgs) {
		t.msgs = slices.Clone(t.msgs) // lets the dropped messages be collected
	}
	return before - t.bytes
}

// clear drops all messages and returns the bytes that they took.
func (t *tail) clear() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	bytes := t.bytes
	t.msgs, t.bytes = nil, 0
	return bytes
}

// reaches reports whether a message is in memory or not yet stored.
func (t *tail) reaches(seq uint64) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.msgs) > 0 && seq >= t.msgs[0].Sequence
}

// read returns a copy of up to max messages from a sequence on. It returns nil if the tail does not reach back that
// far, or has nothing there.
func (t *tail) read(from, to uint64, max int) []stores.Message {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.msgs) == 0 || from < t.msgs[0].Sequence {
		return nil
	}
	i := from - t.msgs[0].Sequence
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
	return append([]stores.Message(nil), rest...)
}

// timestamp returns a message's timestamp and true. If it is not in memory, it returns that of the first message in
// memory, or 0, and false.
func (t *tail) timestamp(seq uint64) (int64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.msgs) == 0 {
		return 0, false
	}
	first := t.msgs[0]
	if i := seq - first.Sequence; seq >= first.Sequence && i < uint64(len(t.msgs)) {
		return t.msgs[i].Timestamp, true
	}
	return first.Timestamp, false
}

// sizeOf is a sizer for the messages in memory.
func (t *tail) sizeOf(seq uint64) (bytes int, next uint64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.msgs) == 0 || seq < t.msgs[0].Sequence {
		return 0, 0, false
	}
	i := seq - t.msgs[0].Sequence
	if i+1 >= uint64(len(t.msgs)) {
		return 0, 0, false
	}
	return len(t.msgs[i].Data), seq + 1, true
}

// within returns the first messages, up to a number of bytes but at least one. It clears the others, which a slow
// reader would otherwise keep in memory.
func within(msgs []stores.Message, bytes int) []stores.Message {
	for i, m := range msgs {
		if bytes -= len(m.Data); bytes < 0 && i > 0 {
			clear(msgs[i:])
			return msgs[:i]
		}
	}
	return msgs
}
