package consumers

import "time"

// wallCheck is how often a group with delayed messages asks the wall clock whether it was set, or the machine was asleep.
const wallCheck = time.Minute

// wallClock tells how far the wall clock went ahead of the clock of state. The zero value is ready.
type wallClock struct {
	known  bool
	offset time.Duration
}

// jump returns by how much the wall clock was set since the last call, forward or back. It ignores what may be a correction.
func (w *wallClock) jump(wall time.Time, now time.Duration) time.Duration {
	offset := time.Duration(wall.UnixNano()) - now
	by := offset - w.offset
	if w.known && by.Abs() < time.Second {
		return 0
	}
	first := !w.known
	w.known, w.offset = true, offset
	if first {
		return 0
	}
	return by
}

// shift moves the due times of delayed events, after the wall clock was set.
func (s *state) shift(by, now time.Duration) {
	for _, seq := range s.unacked.sequences(&s.waiting) {
		if h := s.unacked.held[seq]; s.delayed(seq, h, now) {
			s.hold(seq, max(h.at-by, 0))
		}
	}
}
