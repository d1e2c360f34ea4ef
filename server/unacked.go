package server

import (
	"container/heap"
	"slices"
	"time"
)

// started anchors the monotonic clock of ack timeouts: a step of the wall clock must neither
// delay a redelivery nor cause one.
var started = time.Now()

// monotonic returns the time since the process started.
func monotonic() time.Duration { return time.Since(started) }

// unacked is the set of messages that a member was sent and has not acknowledged, with the time
// at which each is due for redelivery. The zero value is empty.
type unacked struct {
	bySeq map[uint64]*unackedMsg
	heap  expiryHeap
}

type unackedMsg struct {
	seq    uint64
	expiry time.Duration // on the clock of monotonic
	index  int           // in the heap
}

func (u *unacked) len() int { return len(u.bySeq) }

func (u *unacked) has(seq uint64) bool {
	_, ok := u.bySeq[seq]
	return ok
}

// put adds the message, or changes when it is due.
func (u *unacked) put(seq uint64, expiry time.Duration) {
	if m, ok := u.bySeq[seq]; ok {
		m.expiry = expiry
		heap.Fix(&u.heap, m.index)
		return
	}
	if u.bySeq == nil {
		u.bySeq = make(map[uint64]*unackedMsg)
	}
	m := &unackedMsg{seq: seq, expiry: expiry}
	u.bySeq[seq] = m
	heap.Push(&u.heap, m)
}

// remove reports whether the message was in the set.
func (u *unacked) remove(seq uint64) bool {
	m, ok := u.bySeq[seq]
	if !ok {
		return false
	}
	delete(u.bySeq, seq)
	heap.Remove(&u.heap, m.index)
	return true
}

// next returns when the earliest message is due, and false if the set is empty.
func (u *unacked) next() (time.Duration, bool) {
	if len(u.heap) == 0 {
		return 0, false
	}
	return u.heap[0].expiry, true
}

// takeDue returns the messages due at the limit or earlier, ordered by expiry, then sequence. They
// stay in the set, due again after the wait from when they were due, so that their order stays what it is; one whose next
// time has passed as well is due after the wait from the limit.
func (u *unacked) takeDue(limit, wait time.Duration) []uint64 {
	var due []uint64
	for len(u.heap) > 0 && u.heap[0].expiry <= limit {
		m := u.heap[0]
		due = append(due, m.seq)
		if m.expiry += wait; m.expiry <= limit {
			m.expiry = limit + wait
		}
		heap.Fix(&u.heap, 0)
	}
	return due
}

// byExpiry returns all sequences ordered by expiry, then sequence.
func (u *unacked) byExpiry() []uint64 {
	msgs := slices.Clone(u.heap)
	slices.SortFunc(msgs, func(a, b *unackedMsg) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	seqs := make([]uint64, len(msgs))
	for i, m := range msgs {
		seqs[i] = m.seq
	}
	return seqs
}

// sequences returns all sequences, ascending.
func (u *unacked) sequences() []uint64 {
	seqs := make([]uint64, 0, len(u.bySeq))
	for seq := range u.bySeq {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return seqs
}

func (m *unackedMsg) before(o *unackedMsg) bool {
	if m.expiry != o.expiry {
		return m.expiry < o.expiry
	}
	return m.seq < o.seq
}

// expiryHeap implements heap.Interface.
type expiryHeap []*unackedMsg

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].before(h[j]) }
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *expiryHeap) Push(x any) {
	m := x.(*unackedMsg)
	m.index = len(*h)
	*h = append(*h, m)
}

func (h *expiryHeap) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return m
}
