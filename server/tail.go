package server

import (
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Bounds of one channel's tail: enough that live subscribers, who are some batches behind at
// most, need no query.
const (
	tailMsgs  = 4096
	tailBytes = 4 << 20
)

// tail keeps the last committed messages of a channel in memory.
type tail struct {
	mu    sync.RWMutex // guards what follows
	msgs  []stores.Message
	bytes int
}

// add appends committed messages, whose sequences follow those added before, and forgets the oldest.
func (t *tail) add(msgs []stores.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.msgs); n > 0 && len(msgs) > 0 && msgs[0].Sequence != t.msgs[n-1].Sequence+1 {
		// Something was committed that we were not told of, after an unclear outcome.
		t.msgs, t.bytes = nil, 0
	}
	t.msgs = append(t.msgs, msgs...)
	for i := range msgs {
		t.bytes += len(msgs[i].Data)
	}
	drop := 0
	for drop < len(t.msgs) && (len(t.msgs)-drop > tailMsgs || t.bytes > tailBytes) {
		t.bytes -= len(t.msgs[drop].Data)
		t.msgs[drop] = stores.Message{}
		drop++
	}
	t.msgs = t.msgs[drop:]
}

// read returns a copy of up to max messages beginning with sequence from, or nil if the tail
// does not reach back that far or holds nothing there.
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
