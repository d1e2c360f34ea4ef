package consumers

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// spent reports whether a message that is due was sent as often as it may be.
func (s *state) spent(seq uint64) bool {
	return s.name != nil && s.rules.maxDeliveries > 0 && s.deliveries(seq) >= s.rules.maxDeliveries
}

// limit parks or skips a message that was sent as often as it may be, or stalls at it. It returns which.
func (s *state) limit(seq uint64, now time.Duration) string {
	switch s.rules.onLimit {
	case LimitSkip:
		s.forget(seq, now)
	case LimitStall:
		s.stall(seq, now)
	default:
		s.park(seq, fmt.Sprintf("delivered %d times without acknowledgement", s.deliveries(seq)), now)
	}
	return s.rules.onLimit
}

// stall keeps a message, and what comes after it: all messages, or in an ordered group those of its key.
func (s *state) stall(seq uint64, now time.Duration) {
	if s.stalled == nil {
		s.stalled = make(map[uint64]time.Duration)
	}
	if _, known := s.stalled[seq]; !known {
		s.stalled[seq] = now
	}
	s.setTry(seq, s.note(seq, now))
	s.hold(seq, never)
}

// unstall lets a message go on that the group is stalled at.
func (s *state) unstall(seq uint64, now time.Duration) {
	delete(s.stalled, seq)
	if s.unacked.holder(seq) == &s.waiting {
		s.hold(seq, now)
	}
}

// held reports whether the group sends nothing: it is paused, or stalled.
func (s *state) held() bool {
	return s.rules != nil && s.rules.paused || s.lanes == nil && len(s.stalled) > 0
}

// park takes an unacknowledged message from the group, and those that wait behind it if they are not to flow.
func (s *state) park(seq uint64, reason string, now time.Duration) {
	t, deliveries, key := s.note(seq, now), s.deliveries(seq), s.keyOf(seq)
	p := stores.ParkedMessage{Seq: seq, Deliveries: uint32(deliveries), Key: key, Reason: reason}
	if deliveries > 0 {
		p.First, p.Last = t.since*int64(time.Second), wall(now).UnixNano()
	}
	if key != "" && s.rules.parksBehind {
		for _, behind := range slices.Backward(s.lanes.after(key, seq)) { // the last one leaves its lane at no cost
			if s.unacked.holder(behind) != &s.waiting {
				continue // sent before the group was ordered
			}
			q := stores.ParkedMessage{Seq: behind, Key: key, Reason: fmt.Sprintf("behind message %d of its key", seq)}
			if d := s.deliveries(behind); d > 0 {
				q.Deliveries, q.First = uint32(d), s.tries[behind].since*int64(time.Second)
				q.Last = q.First
			}
			s.forget(behind, now)
			s.setParked(q)
		}
	}
	s.forget(seq, now)
	s.setParked(p)
}

// parkUnsent parks a message that was not sent, since others of its key are parked.
func (s *state) parkUnsent(seq uint64, key string) {
	s.setParked(stores.ParkedMessage{Seq: seq, Key: key, Reason: "behind a parked message of its key"})
	s.changed.row = true
}

func (s *state) setParked(p stores.ParkedMessage) {
	s.changed.park(p)
	s.name.count(p.Key, 1)
	if s.watched != nil {
		s.watched[p.Seq] = p.Key
	}
}

// unpark takes messages out of the parked ones.
func (s *state) unpark(all []stores.ParkedMessage) {
	for _, p := range all {
		s.changed.unpark(p.Seq)
		s.name.count(p.Key, -1)
	}
}

// watchParked begins to note what is parked from now on, until unparkFrom: what is stored does not show it.
func (s *state) watchParked() { s.watched = make(map[uint64]string) }

// unparkFrom takes messages from next on out of the parked ones, since they come again: the stored ones, and those parked since watchParked.
func (s *state) unparkFrom(next uint64, stored []stores.ParkedMessage) {
	keys := s.watched
	for _, p := range stored {
		keys[p.Seq] = p.Key
	}
	for seq, key := range keys {
		if seq >= next {
			s.changed.unpark(seq)
			s.name.count(key, -1)
		}
	}
	s.watched, s.anew = nil, false
}

// replay holds parked messages, ascending, to be sent again as for the first time.
func (s *state) replay(all []stores.ParkedMessage, now time.Duration) {
	s.unpark(all)
	for _, p := range all {
		if s.unacked.holder(p.Seq) != nil || p.Seq > s.lastSent {
			continue // it comes anyway
		}
		if s.lanes == nil {
			s.hold(p.Seq, now)
			continue
		}
		s.hold(p.Seq, never)
		s.setKey(p.Seq, p.Key, now)
	}
}

// keyOf returns the key of an unacknowledged message of an ordered group, "" if it has none.
func (s *state) keyOf(seq uint64) string {
	if s.lanes == nil {
		return ""
	}
	return s.lanes.keys[seq]
}

// reset makes next the next message. It forgets what was sent.
func (s *state) reset(next uint64) {
	for seq := range s.unacked.held {
		s.unacked.remove(seq)
		s.dropTry(seq)
		s.changed.part(seq)
	}
	if s.lanes != nil {
		s.lanes = newLanes()
	}
	s.stalled = nil
	for _, m := range s.all() {
		m.resuming, m.recovered = false, false
	}
	s.lastSent = next - 1
	s.changed.row = true
	s.generation++
}

// drop ends the group, and all that is known by its name.
func (s *state) drop() {
	for _, m := range s.all() {
		s.changed.sub(m.state.ID)
		m.phase = phaseGone
	}
	s.members, s.joining, s.offline = nil, nil, nil
	s.end()
	s.changed.parks, s.changed.dropName = nil, s.name.storedID()
}
