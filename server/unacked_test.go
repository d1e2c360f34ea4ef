package server

import (
	"slices"
	"testing"
	"time"
)

func TestUnackedOrdersByExpiryThenSequence(t *testing.T) {
	t.Parallel()
	var u unacked
	for seq, expiry := range map[uint64]time.Duration{5: 10, 3: 20, 4: 20, 1: 30} {
		u.put(seq, expiry)
	}
	if got, want := u.byExpiry(), []uint64{5, 3, 4, 1}; !slices.Equal(got, want) {
		t.Errorf("byExpiry = %v, want %v", got, want)
	}
	if got, want := u.sequences(), []uint64{1, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("sequences = %v, want %v", got, want)
	}
	if got, want := u.takeDue(20, 100), []uint64{5, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("takeDue = %v, want %v", got, want)
	}
	if u.len() != 4 {
		t.Errorf("takeDue removed messages: %d left, want 4", u.len())
	}
	if at, ok := u.next(); !ok || at != 30 {
		t.Errorf("next = %v, %v, want 30", at, ok)
	}
	// Each is due again after the wait from its own time, or, if that has passed too, from the limit.
	if got, want := u.byExpiry(), []uint64{1, 5, 3, 4}; !slices.Equal(got, want) || u.bySeq[5].expiry != 110 || u.bySeq[3].expiry != 120 {
		t.Errorf("after takeDue: %v due at %v and %v, want %v at 110 and 120", got, u.bySeq[5].expiry, u.bySeq[3].expiry, want)
	}
	var late unacked
	late.put(7, 10)
	if late.takeDue(1000, 100); late.bySeq[7].expiry != 1100 {
		t.Errorf("long overdue: due again at %v, want 1100", late.bySeq[7].expiry)
	}
	if !u.remove(1) || u.remove(1) {
		t.Error("remove must report whether the message was there")
	}
	u.put(4, 50)
	if got, want := u.takeDue(60, 100), []uint64{4}; !slices.Equal(got, want) {
		t.Errorf("takeDue after put = %v, want %v", got, want)
	}
}
