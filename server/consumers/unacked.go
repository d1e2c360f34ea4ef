package consumers

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// unacked holds the unacknowledged messages of a group: their holders and due times. The zero value is empty.
type unacked struct {
	held map[uint64]holding // by sequence
}

// holding is a message's holder and due time, on the clock of state.
type holding struct {
	by *Member
	at time.Duration
}

// expiries orders the messages of one member by due time. An entry stays when its message is acknowledged, moves or
// gets another time, since most messages are acknowledged long before they are due. Such a stale entry is dropped when
// it comes up, or when stale entries are the majority.
type expiries struct {
	heap expiryHeap
	n    int // messages that the member holds
}

// expiring is a message and its due time.
type expiring struct {
	at  time.Duration
	seq uint64
}

// staleEntries is the number of stale entries that a heap may always have.
const staleEntries = 64

func (u *unacked) len() int { return len(u.held) }

// holder returns a message's holder, or nil.
func (u *unacked) holder(seq uint64) *Member { return u.held[seq].by }

// put gives a message to a member or changes its due time. It reports whether the member did not hold it before.
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
	// As heap.Push, without an allocation.
	m.due.heap = append(m.due.heap, expiring{at, seq})
	heap.Fix(&m.due.heap, len(m.due.heap)-1)
	return before.by != m
}

// remove removes a message and returns its former holder, or nil.
func (u *unacked) remove(seq uint64) *Member {
	m := u.held[seq].by
	if m != nil {
		delete(u.held, seq)
		m.due.n--
		u.compact(m)
	}
	return m
}

// compact drops the member's stale entries if they are the majority.
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

// next returns the member's earliest due time, and false if it holds no message.
func (u *unacked) next(m *Member) (time.Duration, bool) {
	for len(m.due.heap) > 0 {
		if !u.stale(m, m.due.heap[0]) {
			return m.due.heap[0].at, true
		}
		m.due.pop()
	}
	return 0, false
}

// takeDue returns the member's messages due by limit, ordered by due time, then sequence. The member keeps them. Each
// is due again a wait after now, which never goes back: what is sent first is due first again, however late the caller
// is. It stops where wait refuses a message: more is true then. A wait ends after limit.
func (u *unacked) takeDue(m *Member, now, limit time.Duration, wait func(seq uint64) (time.Duration, bool)) (due []uint64, more bool) {
	for len(m.due.heap) > 0 && m.due.heap[0].at <= limit {
		e := m.due.heap[0]
		if u.stale(m, e) {
			m.due.pop()
			continue
		}
		d, ok := wait(e.seq)
		if !ok {
			return due, true
		}
		due = append(due, e.seq)
		e.at = now + d
		u.held[e.seq] = holding{m, e.at}
		m.due.heap[0] = e
		heap.Fix(&m.due.heap, 0)
	}
	return due, false
}

// byExpiry returns the member's messages ordered by due time, then sequence.
func (u *unacked) byExpiry(m *Member) []uint64 {
	seqs := u.sequences(m)
	slices.SortStableFunc(seqs, func(a, b uint64) int { return cmp.Compare(u.held[a].at, u.held[b].at) })
	return seqs
}

// sequences returns the member's messages in ascending order.
func (u *unacked) sequences(m *Member) []uint64 {
	seqs := make([]uint64, 0, m.due.n)
	for _, e := range m.due.heap {
		if !u.stale(m, e) {
			seqs = append(seqs, e.seq)
		}
	}
	slices.Sort(seqs)
	return slices.Compact(seqs) // a message that got an earlier due time back has two entries
}

// expiryHeap implements heap.Interface.
type expiryHeap []expiring

func (h expiryHeap) Len() int { return len(h) }

func (h expiryHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}

func (h expiryHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// heap.Fix and heap.Init do not call Push and Pop, which would allocate.
func (h *expiryHeap) Push(any) { panic("not used") }
func (h *expiryHeap) Pop() any { panic("not used") }
