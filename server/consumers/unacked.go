package consumers

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// unacked is what the members of a group were sent and have not acknowledged: who holds each message, and when it is due to
// be sent again. The zero value is empty.
type unacked struct {
	held map[uint64]holding // by sequence
}

// holding is the member that holds a message, and when the message is due, on the clock of state.
type holding struct {
	by *Member
	at time.Duration
}

// expiries are the messages of one member by when they are due. An entry stays when its message is acknowledged, goes to
// another member or gets another time, since most messages are acknowledged long before they are due. Such an entry is
// dropped when it comes up, or when they are more than half.
type expiries struct {
	heap expiryHeap
	n    int // messages that the member holds
}

// expiring is a message and when it is due.
type expiring struct {
	at  time.Duration
	seq uint64
}

// staleEntries is how many entries of a heap may be stale whatever the number of messages.
const staleEntries = 64

func (u *unacked) len() int { return len(u.held) }

// holder returns the member that holds the message, or nil.
func (u *unacked) holder(seq uint64) *Member { return u.held[seq].by }

// put gives the message to a member, or changes when it is due. It reports whether the member did not hold it before.
func (u *unacked) put(m *Member, seq uint64, at time.Duration) bool {
	if u.held == nil {
		u.held = make(map[uint64]holding)
	}
	before := u.held[seq]
	if before == (holding{m, at}) {
		return false
	}
	u.held[seq] = holding{m, at}
	if before.by != m {
		m.due.n++
		if before.by != nil {
			before.by.due.n--
			u.compact(before.by)
		}
	}
	u.compact(m)
	// As heap.Push does, without an allocation for each message.
	m.due.heap = append(m.due.heap, expiring{at, seq})
	heap.Fix(&m.due.heap, len(m.due.heap)-1)
	return before.by != m
}

// remove returns the member that held the message, or nil.
func (u *unacked) remove(seq uint64) *Member {
	m := u.held[seq].by
	if m != nil {
		delete(u.held, seq)
		m.due.n--
		u.compact(m)
	}
	return m
}

// compact drops the member's stale entries if they are more than half.
func (u *unacked) compact(m *Member) {
	if len(m.due.heap) <= 2*m.due.n+staleEntries {
		return
	}
	m.due.heap = slices.DeleteFunc(m.due.heap, func(e expiring) bool { return u.stale(m, e) })
	heap.Init(&m.due.heap)
}

func (u *unacked) stale(m *Member, e expiring) bool { return u.held[e.seq] != holding{m, e.at} }

// pop drops the first entry, as heap.Pop does, without an allocation.
func (e *expiries) pop() {
	last := len(e.heap) - 1
	e.heap[0] = e.heap[last]
	if e.heap = e.heap[:last]; last > 0 {
		heap.Fix(&e.heap, 0)
	}
}

// next returns when the member's earliest message is due, and false if it holds none.
func (u *unacked) next(m *Member) (time.Duration, bool) {
	for len(m.due.heap) > 0 {
		if !u.stale(m, m.due.heap[0]) {
			return m.due.heap[0].at, true
		}
		m.due.pop()
	}
	return 0, false
}

// takeDue returns the member's messages that are due at the limit or earlier, ordered by expiry, then sequence. It keeps
// them, due again after the wait from when they were due, so that their order stays what it is; one whose next time has
// passed as well is due after the wait from the limit.
func (u *unacked) takeDue(m *Member, limit, wait time.Duration) []uint64 {
	var due []uint64
	for len(m.due.heap) > 0 && m.due.heap[0].at <= limit {
		e := m.due.heap[0]
		if u.stale(m, e) {
			m.due.pop()
			continue
		}
		due = append(due, e.seq)
		if e.at += wait; e.at <= limit {
			e.at = limit + wait
		}
		u.held[e.seq] = holding{m, e.at}
		m.due.heap[0] = e
		heap.Fix(&m.due.heap, 0)
	}
	return due
}

// byExpiry returns the member's messages ordered by expiry, then sequence.
func (u *unacked) byExpiry(m *Member) []uint64 {
	seqs := u.sequences(m)
	slices.SortStableFunc(seqs, func(a, b uint64) int { return cmp.Compare(u.held[a].at, u.held[b].at) })
	return seqs
}

// sequences returns the member's messages, ascending.
func (u *unacked) sequences(m *Member) []uint64 {
	seqs := make([]uint64, 0, m.due.n)
	for _, e := range m.due.heap {
		if !u.stale(m, e) {
			seqs = append(seqs, e.seq)
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs) // one that got a former time again has two entries
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
