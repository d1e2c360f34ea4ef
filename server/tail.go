package server

import (
	"slices"
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

// add appends committed messages, and forgets the oldest, and all those before a gap in the sequences.
func (t *tail) add(msgs []stores.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, m := range msgs {
		if n := len(t.msgs); n > 0 && m.Sequence != t.msgs[n-1].Sequence+1 {
			// Something was committed that we were not told of, after an unclear outcome or by somebody else.
			t.msgs, t.bytes = nil, 0
		}
		t.msgs = append(t.msgs, m)
		t.bytes += len(m.Data)
	}
	drop := 0
	for drop < len(t.msgs) && (len(t.msgs)-drop > tailMsgs || t.bytes > tailBytes) {
		t.bytes -= len(t.msgs[drop].Data)
		t.msgs[drop] = stores.Message{}
		drop++
	}
	t.msgs = t.msgs[drop:]
}

// forget drops messages up to a sequence, which are no longer stored.
func (t *tail) forget(upTo uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	drop := 0
	for drop < len(t.msgs) && t.msgs[drop].Sequence <= upTo {
		t.bytes -= len(t.msgs[drop].Data)
		drop++
	}
	t.msgs = slices.Clone(t.msgs[drop:])
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
