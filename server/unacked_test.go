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
	if !u.remove(1) || u.remove(1) {
		t.Error("remove must report whether the message was there")
	}
	u.put(4, 50)
	if got, want := u.takeDue(60, 100), []uint64{4}; !slices.Equal(got, want) {
		t.Errorf("takeDue after put = %v, want %v", got, want)
	}
}
