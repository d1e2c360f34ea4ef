package consumers

import (
	"slices"
	"time"
)

const (
	// ackSlack is how early a message may be redelivered, so that messages sent together are redelivered together.
	ackSlack = 15 * time.Millisecond
	// redealDelay is when a leaving member's messages are sent to the remaining members.
	redealDelay = 100 * time.Millisecond
)

// state is the state machine of a group: its members, what they were sent, what they have not acknowledged, and which
// changes are not stored. It has no locks, goroutines or clock: now is the time since a fixed moment.
type state struct {
	id      uint64 // ID in the store: that of the first subscription
	queue   bool   // a queue group
	durable bool   // outlives its members once one was active
	ended   bool

	lastSent uint64
	stored   uint64 // lastSent when it was last taken to be stored
	// members are active. When the head is chosen, it moves to the back.
	members []*Member
	joining []*Member // not yet stored
	// offline is the last member of a durable group without active ones. It holds the messages that the next member
	// receives first.
	offline *Member
	unacked unacked
	// waiting holds the messages that are with no member although later ones may be: they are behind another of their key,
	// delayed, or replayed. It is not a member; in the store it has the ID 0.
	waiting Member
	tries   map[uint64]try // of unacknowledged messages
	lanes   *lanes         // nil unless the group is ordered by key
	// stalled are messages at their limit of deliveries that hold back what comes after them, and since when.
	stalled map[uint64]time.Duration

	rules      *rules // nil: the group has no name, or no settings
	name       *named // nil: the group has no name
	generation int    // how often the position was set
	// anew means that messages may be parked that come again, since another group with the name has parked them.
	anew    bool
	watched map[uint64]string // keys of messages that were parked since watchParked; nil: nobody reads what is stored

	changed changed
}

// all returns the members in any phase.
func (s *state) all() []*Member {
	all := append(slices.Clone(s.members), s.joining...)
	if s.offline != nil {
		all = append(all, s.offline)
	}
	return all
}

// size returns the number of members in any phase.
func (s *state) size() int {
	n := len(s.members) + len(s.joining)
	if s.offline != nil {
		n++
	}
	return n
}

// join adds a member that is not yet stored. It takes over an offline member's subscription: its ID, and its messages,
// which are due at once.
func (s *state) join(m *Member, newID func() uint64, now time.Duration) {
	m.phase = phaseJoining
	if before := s.offline; before != nil {
		m.state.ID = before.state.ID
		s.offline, before.phase = nil, phaseGone
		s.give(before, m, now)
		m.resuming = true
	} else {
		m.state.ID = newID()
	}
	if s.id == 0 {
		s.id = m.state.ID
	}
	m.state.LastSent, m.rules = s.lastSent, s.rules
	s.joining = append(s.joining, m)
	s.changed.sub(m.state.ID)
}

// give moves all messages of another member to m.
func (s *state) give(from, m *Member, due time.Duration) {
	for _, seq := range s.unacked.sequences(from) {
		s.unacked.put(m, seq, due)
		if from.state.ID != m.state.ID {
			s.changed.part(seq)
		}
	}
}

// activate makes a stored member active. It reports false if the member has left meanwhile.
func (s *state) activate(m *Member) bool {
	if m.phase != phaseJoining {
		return false
	}
	m.phase = phaseActive
	s.joining = without(s.joining, m)
	s.members = append(s.members, m)
	// A non-durable request can name a durable queue group and vice versa: a group is durable once a member asked for
	// it.
	s.durable = s.durable || m.state.IsDurable
	return true
}

// departure is what a leave does to its group.
type departure int

const (
	left      departure = iota // others remain and hold the messages
	suspended                  // a durable without active members
	ended
)

// leave removes a member. Remaining members get its messages. A durable group that loses its last member keeps it as
// offline, unless it unsubscribed or the group never had an active member. Any other group ends.
func (s *state) leave(m *Member, unsubscribe bool, now time.Duration) departure {
	if s.ended {
		return ended
	}
	s.members, s.joining = without(s.members, m), without(s.joining, m)
	s.changed.sub(m.state.ID)
	heirs := s.members
	if len(heirs) == 0 {
		heirs = s.joining
	}
	switch {
	case len(heirs) > 0:
		m.phase = phaseGone
		s.deal(m, heirs, now+redealDelay)
		return left
	case s.durable && !unsubscribe:
		m.phase, m.resuming = phaseOffline, false
		m.state.IsClosed, m.state.LastSent = true, s.lastSent
		s.offline = m
		return suspended
	}
	m.phase = phaseGone
	s.end()
	return ended
}

// end ends the group. No member holds a message any more, so nothing that is still on its way changes the group.
func (s *state) end() {
	for seq := range s.unacked.held {
		s.unacked.remove(seq)
	}
	s.tries, s.lanes, s.stalled = nil, nil, nil
	s.ended = true
}

// deal distributes a leaving member's messages in turn, in the order of their due times.
func (s *state) deal(leaver *Member, heirs []*Member, due time.Duration) {
	for i, seq := range s.unacked.byExpiry(leaver) {
		s.unacked.put(heirs[i%len(heirs)], seq, due)
		s.changed.part(seq)
	}
}

// ack removes a message, whichever member holds it, since a redelivery may have moved it while the ack was on its way.
// known is false if no member holds it. room means that its holder can take new messages again.
func (s *state) ack(seq uint64, now time.Duration) (known, room bool) {
	h := s.unacked.holder(seq)
	switch {
	case h == nil, h == &s.waiting && s.deliveries(seq) == 0:
		return false, false
	case h == &s.waiting:
		s.forget(seq, now)
		return true, true
	}
	stalled := h.stalled()
	next := s.forget(seq, now)
	return true, next || stalled && !h.stalled()
}

// forget removes an unacknowledged message. It reports whether another one can go now.
func (s *state) forget(seq uint64, now time.Duration) (next bool) {
	s.unacked.remove(seq)
	s.dropTry(seq)
	s.changed.part(seq)
	if _, stalled := s.stalled[seq]; stalled {
		delete(s.stalled, seq)
		next = true
	}
	return s.release(seq, now) || next
}

// sent records that a member was sent a message that no member held. It returns how often it was sent before.
func (s *state) sent(m *Member, seq uint64, now time.Duration) (before uint32) {
	if t, tried := s.tries[seq]; tried {
		t.again, t.notBefore = t.again+1, 0
		before = t.again
		s.setTry(seq, t)
	}
	s.unacked.put(m, seq, now+s.wait(m, int(before)+1))
	s.changed.part(seq)
	if seq > s.lastSent {
		s.lastSent, s.changed.row = seq, true
	}
	return before
}

// passStep is how many messages a group passes before that is worth a write.
const passStep = 4096

// pass records that the members need none of the messages up to a sequence that they were not sent.
func (s *state) pass(seq uint64) {
	if seq <= s.lastSent {
		return
	}
	if s.lastSent = seq; seq >= s.stored+passStep {
		s.changed.row = true
	}
}

// resent records that a message was sent again, perhaps to another member than its holder. It returns the redelivery
// count.
func (s *state) resent(m *Member, seq uint64, now time.Duration) uint32 {
	t := s.note(seq, now-s.wait(m, 1))
	t.again, t.notBefore = t.again+1, 0
	s.setTry(seq, t)
	if s.unacked.holder(seq) != m {
		s.unacked.put(m, seq, now+s.wait(m, int(t.again)+1))
		s.changed.part(seq)
	}
	return t.again
}

// pick chooses the receiver of a message: the member with the fewest unacknowledged messages among those that are
// neither stalled nor failing heartbeats. Among equals it is the first; a chosen head moves to the back. If none
// qualifies, a redelivery goes to the head, a new message to the first that is not stalled. pick returns nil if no
// member is left.
func (s *state) pick(redelivery bool) *Member {
	best, first, head := -1, -1, -1
	for i, m := range s.members {
		if !m.reachable() || !redelivery && m.behind() {
			continue
		}
		if head < 0 {
			head = i
		}
		if m.stalled() {
			continue
		}
		if first < 0 {
			first = i
		}
		if m.healthy() && (best < 0 || m.due.n < s.members[best].due.n) {
			best = i
		}
	}
	if best < 0 {
		if best = first; redelivery {
			best = head
		}
	}
	if best < 0 {
		return nil
	}
	m := s.members[best]
	if best == 0 && len(s.members) > 1 {
		s.members = append(s.members[1:], m)
	}
	return m
}

// window returns how many new messages the members can take.
func (s *state) window() int {
	if s.held() {
		return 0
	}
	n := 0
	for _, m := range s.members {
		if m.reachable() && !m.behind() {
			n += max(0, m.window())
		}
	}
	return n
}

// due is a message to redeliver and its holder.
type due struct {
	seq    uint64
	member *Member
}

// takeDue returns the messages whose ack timed out and sets their next due time. Of those that were sent again before, it takes at
// most n. more means that it left some.
func (s *state) takeDue(now time.Duration, n *int) (all []due, more bool) {
	if s.held() {
		return nil, false
	}
	for _, m := range s.members {
		if !s.serves(m) {
			continue // its messages wait until it is reachable
		}
		quiet := !s.queue && !m.healthy() && !m.resuming // do not flood a client that does not answer
		seqs, rest := s.unacked.takeDue(m, now, now+ackSlack, func(seq uint64) (time.Duration, bool) {
			t, tried := s.tries[seq]
			if tried && t.again > 0 && !quiet && !m.resuming {
				if *n == 0 {
					return 0, false
				}
				*n--
			}
			return max(s.wait(m, int(t.again)+2), 2*ackSlack), true
		})
		more = more || rest
		if quiet {
			continue
		}
		m.resuming = false
		for _, seq := range seqs {
			all = append(all, due{seq, m})
		}
	}
	return all, more
}

// serves reports whether a member's due messages can be sent: to the member or, if its client has not come back after a start
// of the server, to others of its group, since it may never come back.
func (s *state) serves(m *Member) bool {
	if m.reachable() {
		return !m.recovered
	}
	return slices.ContainsFunc(s.members, (*Member).reachable)
}

// dueNow makes messages due again after a failed read.
func (s *state) dueNow(all []due, now time.Duration) {
	for _, d := range all {
		if s.unacked.holder(d.seq) == d.member {
			s.unacked.put(d.member, d.seq, now)
		}
	}
}

// dueAfter sets the due time of a recovered message, unless it was acknowledged or dealt meanwhile.
func (s *state) dueAfter(m *Member, seq uint64, now, wait time.Duration) {
	if s.unacked.holder(seq) == m {
		s.unacked.put(m, seq, now+min(max(wait, 0), s.wait(m, s.deliveries(seq))))
	}
}

// nextDue returns the earliest due time, and false if no message is due.
func (s *state) nextDue() (at time.Duration, ok bool) {
	if s.held() {
		return 0, false
	}
	for _, m := range s.members {
		if !s.serves(m) {
			continue
		}
		if next, some := s.unacked.next(m); some && (!ok || next < at) {
			at, ok = next, true
		}
	}
	return at, ok
}

func without(all []*Member, m *Member) []*Member {
	return slices.DeleteFunc(all, func(x *Member) bool { return x == m })
}
