package consumers

import (
	"math"
	"slices"
	"time"
)

// never is the due time of a message behind another of its key.
const never time.Duration = math.MaxInt64

// maxWaiting bounds the messages that wait. A group that has so many reads no new ones.
const maxWaiting = 1 << 16

// facts are what decides about a message before it is sent.
type facts struct {
	unwanted  bool          // it is not for the group
	cancelled bool          // its delayed delivery was cancelled
	key       string        // in an ordered group, "" if it has none
	at        time.Duration // not before; 0 is at once
}

// place records a message that was read and that no member is to get now: an unwanted one, one whose key has parked messages,
// one behind another of its key, or a delayed one. It reports false if the message is to be sent now.
func (s *state) place(seq uint64, f facts, now time.Duration) bool {
	switch {
	case f.unwanted, f.cancelled:
		s.pass(seq)
		return true
	case f.key != "" && s.rules.parksBehind && s.name.parks(f.key):
		s.pass(seq)
		s.parkUnsent(seq, f.key)
		return true
	}
	at := f.at
	if s.lanes != nil && !s.lanes.enter(f.key, seq) {
		at = never
	}
	if at <= now {
		return false
	}
	s.hold(seq, at)
	s.lastSent, s.changed.row = seq, true
	return true
}

// hold gives a message to no member until its due time.
func (s *state) hold(seq uint64, due time.Duration) {
	if s.unacked.put(&s.waiting, seq, due) {
		s.changed.part(seq)
	}
}

// takeReady returns the first waiting messages that are due, at most n. Those that cannot be sent are to be held again.
func (s *state) takeReady(now time.Duration, n int) []uint64 {
	if s.held() {
		return nil
	}
	var ready []uint64
	for len(ready) < n {
		at, some := s.unacked.next(&s.waiting)
		if !some || at > now {
			break
		}
		seq := s.waiting.due.heap[0].seq
		ready = append(ready, seq)
		s.unacked.put(&s.waiting, seq, never) // its entry is stale now
	}
	return ready
}

// nextReady returns when the first waiting message is due that a member can take, and false if there is none.
func (s *state) nextReady() (at time.Duration, ok bool) {
	if s.window() <= 0 {
		return 0, false
	}
	at, ok = s.unacked.next(&s.waiting)
	return at, ok && at < never
}

// settle drops a message that waited, or lets it wait on. It reports false if the message is to be sent now.
func (s *state) settle(seq uint64, f facts, now time.Duration) bool {
	switch fresh := s.deliveries(seq) == 0; {
	case s.unacked.holder(seq) != &s.waiting: // meanwhile acknowledged, or forgotten
	case f.unwanted, f.cancelled && fresh:
		s.forget(seq, now)
	case s.lanes != nil && s.lanes.keys[seq] != f.key: // it was parked when messages had other keys
		s.hold(seq, never)
		s.release(seq, now)
		s.setKey(seq, f.key, now)
	case f.at > now && fresh:
		s.hold(seq, f.at)
	default:
		return false
	}
	return true
}

// delayed reports whether a message is an event whose time has not come.
func (s *state) delayed(seq uint64, h holding, now time.Duration) bool {
	return h.by == &s.waiting && h.at > now && h.at < never && s.deliveries(seq) == 0
}

// holdAgain makes messages due again that takeReady returned and that were not sent.
func (s *state) holdAgain(seqs []uint64, now time.Duration) {
	for _, seq := range seqs {
		if s.unacked.holder(seq) == &s.waiting {
			s.hold(seq, now)
		}
	}
}

// release lets the next message of a key go after one has left its lane.
func (s *state) release(seq uint64, now time.Duration) (some bool) {
	if s.lanes == nil {
		return false
	}
	next := s.lanes.leave(seq)
	if next == 0 {
		return false
	}
	s.dueAgain(next, now)
	return true
}

// dueAgain makes the active message of a key due, unless a member has it.
func (s *state) dueAgain(seq uint64, now time.Duration) {
	if s.unacked.holder(seq) != &s.waiting {
		return
	}
	at := now
	if t := s.tries[seq]; t.notBefore > 0 {
		at = max(at, onClock(time.Unix(t.notBefore, 0)))
	}
	s.hold(seq, at)
}

// retry takes a message from its member, to be sent again after a delay.
func (s *state) retry(seq uint64, delay, now time.Duration) {
	t := s.note(seq, now)
	if t.notBefore = 0; delay >= time.Second {
		t.notBefore = wall(now + delay + time.Second - 1).Unix()
	}
	s.setTry(seq, t)
	s.hold(seq, now+delay)
}

// unknownKeys returns the messages whose keys have to be looked up: first those that members hold, then ascending.
func (s *state) unknownKeys() []uint64 {
	if s.lanes == nil || len(s.lanes.unknown) == 0 {
		return nil
	}
	var held, waiting []uint64
	for seq := range s.lanes.unknown {
		switch s.unacked.holder(seq) {
		case nil:
			delete(s.lanes.unknown, seq)
		case &s.waiting:
			waiting = append(waiting, seq)
		default:
			held = append(held, seq)
		}
	}
	slices.Sort(held)
	slices.Sort(waiting)
	return append(held, waiting...)
}

// setKey puts a message whose key was unknown into its lane.
func (s *state) setKey(seq uint64, key string, now time.Duration) {
	if s.lanes == nil || s.unacked.holder(seq) == nil {
		return
	}
	switch active := s.lanes.enter(key, seq); {
	case active:
		s.dueAgain(seq, now)
	case s.unacked.holder(seq) != &s.waiting:
		// It was sent before the group was ordered. It is sent again once it is active, unless it is acknowledged before.
		s.setTry(seq, s.note(seq, now))
		s.hold(seq, never)
	}
}

// setRules changes the settings of the group.
func (s *state) setRules(r *rules, now time.Duration) {
	ordered := s.rules != nil && s.rules.orderBy != ""
	before := s.rules
	s.rules = r
	for _, m := range s.all() {
		m.rules = r
	}
	for seq := range s.stalled {
		s.unstall(seq, now)
	}
	switch {
	case r.orderBy == "" && ordered:
		s.lanes = nil
		for _, seq := range s.unacked.sequences(&s.waiting) {
			s.dueAgain(seq, now)
		}
	case r.orderBy != "" && (!ordered || before.orderBy != r.orderBy):
		s.lanes = newLanes()
		for seq, h := range s.unacked.held {
			if s.lanes.unknown[seq] = struct{}{}; h.by == &s.waiting {
				s.hold(seq, never)
			}
		}
	}
}
