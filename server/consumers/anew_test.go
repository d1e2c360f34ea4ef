package consumers

import (
	"context"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/storetest"
)

// A queue group that ended and begins anew is sent again what was parked. It is parked once, and what is discarded is gone.
func TestParkedByAGroupThatEnded(t *testing.T) {
	t.Parallel()
	f := open(t, nil, Options{Interval: time.Millisecond}, nil)
	f.configure(billing, `{"order_by": "aggregate"}`)
	f.emit("Paid", "a", time.Time{})
	f.emit("Paid", "b", time.Time{})
	for range 2 {
		h := f.consume(f.requestOf("events", "me", "q", "d"), func(seq uint64, _ uint32) Rejection { return Rejection{Park: seq == 1, Skip: seq == 2} })
		eventually(t, "nothing was parked", func() bool { d := f.described(billing); return d.Parked > 0 && d.Backlog.Msgs == 0 })
		if err := f.Leave(t.Context(), <-h.m, true); err != nil {
			t.Fatal(err)
		}
	}
	until(t, f.raw(), 1, "SELECT COUNT(*) FROM Parked")
	if d := f.described(billing); d.Parked != 1 {
		t.Errorf("%d are parked, want 1", d.Parked)
	}
	if n, err := f.Discard(t.Context(), Actor{}, billing, nil, "x"); n != 1 || err != nil {
		t.Errorf("discarded %d: %v", n, err)
	}
	if d := f.described(billing); d.Parked != 0 {
		t.Errorf("%d are parked after all were discarded", d.Parked)
	}
	f.emit("Paid", "a", time.Time{})
	r := f.requestOf("events", "me", "q", "d")
	r.Start, r.StartSequence = SequenceStart, 3
	got := f.consume(r, func(uint64, uint32) Rejection { return acked })
	got.got.wait(t, 1)
}

// What is parked while the position is set, and comes again, is parked no more.
func TestSetPositionWhileParking(t *testing.T) {
	t.Parallel()
	s, m, _ := ordered(`{"order_by": "aggregate"}`)
	for seq := uint64(1); seq <= 3; seq++ {
		s.place(seq, facts{key: "a"}, 0)
		s.sent(m, seq, 0)
	}
	s.park(3, "rejected", 0) // stored
	_, stored := s.takeChanges(nil)
	s.watchParked()
	s.park(2, "rejected", 0) // the act does not find it
	_, _ = s.takeChanges(nil)
	s.unparkFrom(2, []stores.ParkedMessage{*stored.parks[3]})
	s.reset(2)
	changes, _ := s.takeChanges(nil)
	if len(changes.Unpark) != 2 || s.name.parkedCount() != 0 || s.name.parks("a") {
		t.Errorf("parked no more: %v, and %d are left", changes.Unpark, s.name.parkedCount())
	}
}

// A discard whose outcome was unknown leaves no wrong count behind, whether or not the consumer has a subscription.
func TestDiscardWithUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, unsubscribe := range []bool{false, true} {
		f := open(t, nil, Options{Interval: time.Millisecond, StoreTimeout: 100 * time.Millisecond}, nil)
		f.configure(billing, `{"order_by": "aggregate"}`)
		f.emit("Paid", "a", time.Time{})
		h := f.consume(f.requestOf("events", "me", "q", "d"), func(uint64, uint32) Rejection { return Rejection{Park: true} })
		eventually(t, "nothing was parked", func() bool { return f.described(billing).Parked == 1 })
		until(t, f.raw(), 1, "SELECT COUNT(*) FROM Parked")
		if err := f.Leave(t.Context(), <-h.m, unsubscribe); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		f.faults.GoneAfterCommit(cancel)
		f.faults.Commits(storetest.LostAfter)
		if _, err := f.Discard(ctx, Actor{}, billing, []uint64{1}, "x"); err == nil {
			t.Fatal("discarded")
		}
		f.faults.Clear()
		until(t, f.raw(), 0, "SELECT COUNT(*) FROM Parked")
		f.emit("Paid", "a", time.Time{})
		r := f.requestOf("events", "me", "q", "d")
		r.Start, r.StartSequence = SequenceStart, 2
		next := f.consume(r, func(uint64, uint32) Rejection { return acked })
		next.got.wait(t, 1)
		if d := f.described(billing); d.Parked != 0 {
			t.Errorf("%d are parked", d.Parked)
		}
	}
}
