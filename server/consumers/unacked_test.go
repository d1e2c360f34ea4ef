package consumers

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestUnackedOrdersByExpiryThenSequence(t *testing.T) {
	t.Parallel()
	var u unacked
	m := &Member{}
	for seq, expiry := range map[uint64]time.Duration{5: 10, 3: 20, 4: 20, 1: 30} {
		u.put(m, seq, expiry)
	}
	if got, want := u.byExpiry(m), []uint64{5, 3, 4, 1}; !slices.Equal(got, want) {
		t.Errorf("byExpiry = %v, want %v", got, want)
	}
	if got, want := u.sequences(m), []uint64{1, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("sequences = %v, want %v", got, want)
	}
	want := []uint64{5, 3, 4}
	if got, _ := u.takeDue(m, 20, 20, every(100)); !slices.Equal(got, want) {
		t.Errorf("takeDue = %v, want %v", got, want)
	}
	if u.len() != 4 {
		t.Errorf("takeDue removed messages: %d left, want 4", u.len())
	}
	if at, ok := u.next(m); !ok || at != 30 {
		t.Errorf("next = %v, %v, want 30", at, ok)
	}
	// Each is due again a wait after now.
	if got, want := u.byExpiry(m), []uint64{1, 3, 4, 5}; !slices.Equal(got, want) || u.held[5].at != 120 || u.held[3].at != 120 {
		t.Errorf("after takeDue: %v due at %v and %v, want %v at 120", got, u.held[5].at, u.held[3].at, want)
	}
	if u.remove(1) != m || u.remove(1) != nil {
		t.Error("remove must return the former holder")
	}
	u.put(m, 4, 50)
	want = []uint64{4}
	if got, _ := u.takeDue(m, 60, 60, every(100)); !slices.Equal(got, want) {
		t.Errorf("takeDue after put = %v, want %v", got, want)
	}
}

// What was sent over some time, and comes due to a server that is late, is sent in the same order in each round: also where the rate cuts
// a round in two.
func TestUnackedKeepsItsOrder(t *testing.T) {
	t.Parallel()
	const n, ackWait = 20, 200
	for _, late := range []time.Duration{0, 10, ackWait - 10, ackWait, ackWait + 10, 5 * ackWait} {
		for _, atOnce := range []int{3, n} {
			var u unacked
			m := &Member{}
			var want []uint64
			for seq := uint64(1); seq <= n; seq++ {
				u.put(m, seq, ackWait+time.Duration(seq))
				want = append(want, seq)
			}
			now := time.Duration(ackWait + n)
			for round := range 4 {
				var got []uint64
				now += late
				for len(got) < n {
					left := atOnce
					due, _ := u.takeDue(m, now, now, func(uint64) (time.Duration, bool) {
						left--
						return ackWait, left >= 0
					})
					got = append(got, due...)
					now++
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%v late, %d at once, round %d: %v", late, atOnce, round, got)
				}
				now += ackWait
			}
		}
	}
}

// Entries of acknowledged messages do not accumulate and never come up.
func TestUnackedForgetsTheAcknowledged(t *testing.T) {
	t.Parallel()
	var u unacked
	m := &Member{}
	const total, window = 100_000, 1000
	for seq := uint64(1); seq <= total; seq++ {
		u.put(m, seq, time.Duration(seq))
		if seq > window {
			u.remove(seq - window)
		}
		if len(m.due.heap) > 2*window+2*staleEntries {
			t.Fatalf("%d entries for %d messages", len(m.due.heap), u.len())
		}
	}
	if at, ok := u.next(m); !ok || at != total-window+1 {
		t.Errorf("next = %v, %v, want %v", at, ok, total-window+1)
	}
	if due, _ := u.takeDue(m, total, total, every(total)); len(due) != window || due[0] != total-window+1 || due[window-1] != total {
		t.Errorf("takeDue = %d messages, want the last %d", len(due), window)
	}
	for seq := range uint64(total) {
		u.put(m, 5, time.Duration(seq))
	}
	if u.len() != window+1 || len(m.due.heap) > 3*window {
		t.Errorf("%d messages and %d entries after repeated changes of one message", u.len(), len(m.due.heap))
	}
	if due, _ := u.takeDue(m, total-1, total-1, every(1)); !slices.Equal(due, []uint64{5}) {
		t.Errorf("takeDue = %v, want [5]", due)
	}
}

func BenchmarkUnacked(b *testing.B) {
	for _, window := range []uint64{10, 1000, 10_000} {
		b.Run(fmt.Sprint(window), func(b *testing.B) {
			b.ReportAllocs()
			var u unacked
			m := &Member{}
			seq := uint64(0)
			for b.Loop() {
				seq++
				u.put(m, seq, time.Duration(seq))
				if seq > window {
					u.remove(seq - window)
				}
			}
		})
	}
}
