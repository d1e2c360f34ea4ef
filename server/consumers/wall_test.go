package consumers

import (
	"testing"
	"time"
)

// When the wall clock is set, or the machine was asleep, a delayed message is due at its time on the wall clock. Messages that wait
// for others stay.
func TestWallClockIsSet(t *testing.T) {
	t.Parallel()
	s := state{}
	s.hold(1, time.Hour)
	s.hold(2, never)
	var w wallClock
	at := time.Date(2030, 1, 31, 8, 0, 0, 0, time.UTC)
	if by := w.jump(at, 0); by != 0 {
		t.Errorf("the first look: %v", by)
	}
	if by := w.jump(at.Add(time.Minute+10*time.Millisecond), time.Minute); by != 0 {
		t.Errorf("a correction: %v", by)
	}
	by := w.jump(at.Add(time.Minute+2*time.Hour), time.Minute)
	if by != 2*time.Hour {
		t.Errorf("forward by %v, want 2h", by)
	}
	s.shift(by, time.Minute)
	if ready := s.unacked.held[1].at; ready > time.Minute || s.unacked.held[2].at != never {
		t.Errorf("due at %v and %v", ready, s.unacked.held[2].at)
	}
	s.hold(1, time.Hour)
	if by = w.jump(at, time.Minute); by != -2*time.Hour-time.Minute {
		t.Errorf("back by %v", by)
	}
	s.shift(by, time.Minute)
	if got, want := s.unacked.held[1].at, 3*time.Hour+time.Minute; got != want {
		t.Errorf("due at %v, want %v", got, want)
	}
}
