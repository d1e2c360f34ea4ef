package consumers

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
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
	// redelivered counts redeliveries of unacknowledged messages. It is not stored.
	redelivered map[uint64]uint32

	changed changed
}

// changed records what has to be written. The write stores the state at that moment.
type changed struct {
	row       bool                // last sequence or members
	parts     map[uint64]struct{} // of unacknowledged messages
	subs      map[uint64]struct{} // IDs of subscriptions
	converted map[uint64]struct{} // IDs of subscriptions with rows of earlier releases
	last      uint64              // the part that was added last
}

func (c *changed) any() bool {
	return c.row || len(c.parts)+len(c.subs)+len(c.converted) > 0
}

func (c *changed) part(seq uint64) {
	part := seq / stores.PartSize
	if len(c.parts) > 0 && part == c.last {
		return
	}
	if c.parts == nil {
		c.parts = make(map[uint64]struct{})
	}
	c.parts[part], c.last = struct{}{}, part
}

func (c *changed) sub(id uint64) {
	if c.subs == nil {
		c.subs = make(map[uint64]struct{})
	}
	c.subs[id], c.row = struct{}{}, true
}

// putBack puts back changes whose write failed.
func (c *changed) putBack(other changed) {
	c.row = c.row || other.row
	for to, from := range map[*map[uint64]struct{}]map[uint64]struct{}{
		&c.parts: other.parts, &c.subs: other.subs, &c.converted: other.converted,
	} {
		if *to == nil {
			*to = from
			continue
		}
		maps.Copy(*to, from)
	}
	if len(other.parts) > 0 {
		c.last = other.last
	}
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
	m.state.LastSent = s.lastSent
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
	s.ended = true
	return ended
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
func (s *state) ack(seq uint64) (known, room bool) {
	h := s.unacked.holder(seq)
	if h == nil {
		return false, false
	}
	stalled := h.stalled()
	s.forget(seq)
	return true, stalled && !h.stalled()
}

func (s *state) forget(seq uint64) {
	s.unacked.remove(seq)
	delete(s.redelivered, seq)
	s.changed.part(seq)
}

// sent records that a member was sent a new message.
func (s *state) sent(m *Member, seq uint64, now time.Duration) {
	s.unacked.put(m, seq, now+m.ackWait())
	s.lastSent = seq
	s.changed.part(seq)
	s.changed.row = true
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
	if s.unacked.holder(seq) != m {
		s.unacked.put(m, seq, now+m.ackWait())
		s.changed.part(seq)
	}
	if s.redelivered == nil {
		s.redelivered = make(map[uint64]uint32)
	}
	s.redelivered[seq]++
	return s.redelivered[seq]
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

// takeDue returns the messages whose ack timed out and sets their next due time.
func (s *state) takeDue(now time.Duration) []due {
	var all []due
	for _, m := range s.members {
		if !s.serves(m) {
			continue // its messages wait until it is reachable
		}
		seqs := s.unacked.takeDue(m, now+ackSlack, max(m.ackWait(), 2*ackSlack))
		if !s.queue && !m.healthy() && !m.resuming {
			continue // do not flood a client that does not answer
		}
		m.resuming = false
		for _, seq := range seqs {
			all = append(all, due{seq, m})
		}
	}
	return all
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
		s.unacked.put(m, seq, now+min(max(wait, 0), m.ackWait()))
	}
}

// nextDue returns the earliest due time, and false if no message is due.
func (s *state) nextDue() (at time.Duration, ok bool) {
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

// takeChanges returns the changes to write and marks them as written. After a failed write, call changed.putBack.
func (s *state) takeChanges(ch *stores.Channel) (stores.ConsumerChanges, changed) {
	taken := s.changed
	s.changed = changed{}
	var to stores.ConsumerChanges
	members := map[uint64]*Member{}
	if !s.ended {
		for _, m := range s.all() {
			members[m.state.ID] = m
		}
	}
	for id := range taken.subs {
		if m := members[id]; m != nil {
			row := *m.state
			to.Put = append(to.Put, stores.SubscriptionRow{Channel: ch, State: &row})
		} else {
			to.Delete = append(to.Delete, stores.SubscriptionKey{Channel: ch, ID: id})
		}
	}
	for id := range taken.converted {
		to.Converted = append(to.Converted, id)
	}
	if s.ended {
		to.Drop = append(to.Drop, s.id)
		return to, taken
	}
	p := stores.Position{Channel: ch, Consumer: s.id}
	if taken.row {
		s.stored = s.lastSent
		p.Row = &stores.PositionRow{LastSent: s.lastSent, Members: slices.Sorted(maps.Keys(members))}
	}
	if len(taken.parts) > 0 {
		p.Parts = s.parts(taken.parts)
	}
	if p.Row != nil || p.Parts != nil {
		to.Positions = append(to.Positions, p)
	}
	return to, taken
}

// takePattern adds to changes the pattern of a group with new subscriptions, or removes that of a group that ended. Channels have none.
func (s *state) takePattern(pattern string, to *stores.ConsumerChanges) {
	switch {
	case pattern == "":
	case s.ended:
		to.DropWildcards = append(to.DropWildcards, s.id)
	case len(to.Put) > 0:
		to.Wildcards = append(to.Wildcards, stores.Wildcard{Consumer: s.id, Pattern: pattern})
	}
}

// parts returns the unacknowledged messages of parts. It visits either each sequence of the parts or all unacknowledged
// messages, whichever is fewer.
func (s *state) parts(of map[uint64]struct{}) map[uint64][]stores.Run {
	var seqs []uint64
	if s.unacked.len() < len(of)*stores.PartSize/4 {
		for seq := range s.unacked.held {
			if _, ok := of[seq/stores.PartSize]; ok {
				seqs = append(seqs, seq)
			}
		}
		slices.Sort(seqs)
	} else {
		for _, part := range slices.Sorted(maps.Keys(of)) {
			for seq := part * stores.PartSize; seq < (part+1)*stores.PartSize; seq++ {
				if s.unacked.holder(seq) != nil {
					seqs = append(seqs, seq)
				}
			}
		}
	}
	parts := stores.Parts(seqs, func(seq uint64) uint64 { return s.unacked.holder(seq).state.ID })
	for part := range of {
		if _, ok := parts[part]; !ok {
			parts[part] = nil
		}
	}
	return parts
}

// recover restores a stored group. client returns the registered client with an ID, or nil. A subscription without a
// client is dropped unless it is durable. Only a group without active members keeps an offline one, and only one. The
// remaining members get the messages of other and unknown subscriptions.
// Until recoverDue knows better, the messages of active members are due after their AckWait.
func (s *state) recover(c *stores.Consumer, now time.Duration, client func(*spb.SubState) Client, member func(c Client) *Member) {
	s.id, s.lastSent, s.stored = c.ID, c.LastSent, c.LastSent
	byID := map[uint64]*Member{}
	for _, st := range c.Members {
		if st.QGroup == "" && st.DurableName != "" {
			st.IsDurable = true // old releases of NATS Streaming did not store it
		}
		var cl Client
		if !st.IsClosed {
			cl = client(st)
		}
		if !c.Stored {
			if s.changed.converted == nil {
				s.changed.converted = make(map[uint64]struct{})
			}
			s.changed.converted[st.ID] = struct{}{}
		}
		m := member(cl)
		m.state = st
		switch {
		case cl != nil:
			m.phase = phaseActive
			s.members = append(s.members, m)
		case st.IsDurable && s.offline == nil:
			m.phase = phaseOffline
			s.offline = m
		default:
			s.changed.sub(st.ID)
			continue
		}
		s.durable = s.durable || st.IsDurable
		byID[st.ID] = m
	}
	if s.offline != nil && len(s.members) > 0 {
		s.changed.sub(s.offline.state.ID)
		delete(byID, s.offline.state.ID)
		s.offline.phase = phaseGone
		s.offline = nil
	}
	heirs := s.all()
	if len(heirs) == 0 {
		s.ended = true
		return
	}
	next := 0
	for _, id := range slices.Sorted(maps.Keys(c.Unacked)) {
		for _, seq := range c.Unacked[id] {
			m := byID[id]
			if m == nil {
				m = heirs[next%len(heirs)]
				next++
				s.changed.part(seq)
			}
			m.recovered = m.phase == phaseActive
			s.unacked.put(m, seq, now+m.ackWait())
			if !c.Stored {
				s.changed.part(seq)
			}
		}
	}
	s.changed.row = s.changed.row || !c.Stored
	slices.SortFunc(s.members, func(a, b *Member) int { return cmp.Compare(a.state.ID, b.state.ID) })
}

func without(all []*Member, m *Member) []*Member {
	return slices.DeleteFunc(all, func(x *Member) bool { return x == m })
}
