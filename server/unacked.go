package server

import (
	"cmp"
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
	expiry map[uint64]time.Duration // by sequence, on the clock of monotonic
	// heap orders them. An entry stays when its message is acknowledged or gets another expiry, since most messages
	// are acknowledged long before they are due; such entries are dropped when they come up, or are more than half.
	heap expiryHeap
}

// expiring is a message and when it is due.
type expiring struct {
	at  time.Duration
	seq uint64
}

// staleEntries is how many entries of the heap may be stale whatever the number of messages.
const staleEntries = 64

func (u *unacked) len() int { return len(u.expiry) }

func (u *unacked) has(seq uint64) bool {
	_, ok := u.expiry[seq]
	return ok
}

// put adds the message, or changes when it is due.
func (u *unacked) put(seq uint64, at time.Duration) {
	if u.expiry == nil {
		u.expiry = make(map[uint64]time.Duration)
	}
	if before, ok := u.expiry[seq]; ok && before == at {
		return
	}
	u.expiry[seq] = at
	u.compact()
	// As heap.Push does, without an allocation for each message.
	u.heap = append(u.heap, expiring{at, seq})
	heap.Fix(&u.heap, len(u.heap)-1)
}

// remove reports whether the message was in the set.
func (u *unacked) remove(seq uint64) bool {
	if !u.has(seq) {
		return false
	}
	delete(u.expiry, seq)
	u.compact()
	return true
}

// compact drops stale entries if they are more than half.
func (u *unacked) compact() {
	if len(u.heap) <= 2*len(u.expiry)+staleEntries {
		return
	}
	u.heap = slices.DeleteFunc(u.heap, u.stale)
	heap.Init(&u.heap)
}

func (u *unacked) stale(e expiring) bool {
	at, ok := u.expiry[e.seq]
	return !ok || at != e.at
}

// pop drops the first entry, as heap.Pop does, without an allocation.
func (u *unacked) pop() {
	last := len(u.heap) - 1
	u.heap[0] = u.heap[last]
	if u.heap = u.heap[:last]; last > 0 {
		heap.Fix(&u.heap, 0)
	}
}

// next returns when the earliest message is due, and false if the set is empty.
func (u *unacked) next() (time.Duration, bool) {
	for len(u.heap) > 0 {
		if !u.stale(u.heap[0]) {
			return u.heap[0].at, true
		}
		u.pop()
	}
	return 0, false
}

// takeDue returns the messages due at the limit or earlier, ordered by expiry, then sequence. They
// stay in the set, due again after the wait from when they were due, so that their order stays what it is; one whose next
// time has passed as well is due after the wait from the limit.
func (u *unacked) takeDue(limit, wait time.Duration) []uint64 {
	var due []uint64
	for len(u.heap) > 0 && u.heap[0].at <= limit {
		e := u.heap[0]
		if u.stale(e) {
			u.pop()
			continue
		}
		due = append(due, e.seq)
		if e.at += wait; e.at <= limit {
			e.at = limit + wait
		}
		u.expiry[e.seq] = e.at
		u.heap[0] = e
		heap.Fix(&u.heap, 0)
	}
	return due
}

// byExpiry returns all sequences ordered by expiry, then sequence.
func (u *unacked) byExpiry() []uint64 {
	seqs := u.sequences()
	slices.SortStableFunc(seqs, func(a, b uint64) int { return cmp.Compare(u.expiry[a], u.expiry[b]) })
	return seqs
}

// sequences returns all sequences, ascending.
func (u *unacked) sequences() []uint64 {
	seqs := make([]uint64, 0, len(u.expiry))
	for seq := range u.expiry {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return seqs
}

// expiryHeap implements heap.Interface.
type expiryHeap []expiring

func (h expiryHeap) Len() int { return len(h) }

func (h expiryHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}

func (h expiryHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop are not called: they would allocate.
func (h *expiryHeap) Push(any) { panic("not used") }
func (h *expiryHeap) Pop() any { panic("not used") }
