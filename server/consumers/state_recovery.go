package consumers

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

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
		m.state, m.rules = st, s.rules
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
			if id == 0 {
				s.unacked.put(&s.waiting, seq, never)
				continue
			}
			m := byID[id]
			if m == nil {
				m = heirs[next%len(heirs)]
				next++
				s.changed.part(seq)
			}
			m.recovered = m.phase == phaseActive
			s.unacked.put(m, seq, now+s.wait(m, 1))
			if !c.Stored {
				s.changed.part(seq)
			}
		}
	}
	s.recoverTries(c.Redelivered)
	s.recoverWaiting(now)
	s.changed.row = s.changed.row || !c.Stored
	slices.SortFunc(s.members, func(a, b *Member) int { return cmp.Compare(a.state.ID, b.state.ID) })
}

// recoverWaiting makes the messages that wait due: at once, or once their keys are known. What delays an event is in the event.
func (s *state) recoverWaiting(now time.Duration) {
	if s.lanes != nil {
		for seq := range s.unacked.held {
			s.lanes.unknown[seq] = struct{}{}
		}
		return
	}
	for _, seq := range s.unacked.sequences(&s.waiting) {
		s.dueAgain(seq, now)
	}
}
