package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// redealDelay is when a leaver's messages are sent again to the members that remain.
const redealDelay = 100 * time.Millisecond

// subscriptionStore is what joining and leaving need of the store.
type subscriptionStore interface {
	CreateSubscription(ctx context.Context, ch *stores.Channel, st *spb.SubState) error
	UpdateSubscription(ctx context.Context, ch *stores.Channel, st *spb.SubState) error
	DeleteSubscription(ctx context.Context, ch *stores.Channel, id uint64) error
	SequenceAt(ctx context.Context, ch *stores.Channel, ns int64) (uint64, error)
}

// memberships joins clients to groups and takes them out again, in memory and in the store.
type memberships struct {
	store    subscriptionStore
	progress *progress
	acks     *acks
	// start starts the group's goroutine and returns what ends it.
	start func(*group) (stop func())
}

// keyOf returns the key of the group that a request joins, and whether the group is durable.
func keyOf(req *pb.SubscriptionRequest) (groupKey, bool) {
	durable := req.DurableName != ""
	switch {
	case req.QGroup != "" && durable:
		return groupKey{queue: req.DurableName + ":" + req.QGroup}, true
	case req.QGroup != "":
		return groupKey{queue: req.QGroup}, false
	case durable:
		return groupKey{client: req.ClientID, durable: req.DurableName}, true
	}
	return groupKey{}, false
}

// startAfter returns the sequence after which the requested start position lies, and what the log says of it.
func (s *memberships) startAfter(ctx context.Context, ch *channel, req *pb.SubscriptionRequest) (uint64, string, error) {
	info := ch.stored.Info()
	next := info.Last + 1
	first := next
	if info.Msgs > 0 {
		first = info.First
	}
	from := ""
	switch req.StartPosition {
	case pb.StartPosition_NewOnly:
		first, from = next, "new-only, "
	case pb.StartPosition_LastReceived:
		if info.Msgs > 0 {
			first = info.Last
		}
		from = "last message, "
	case pb.StartPosition_First:
		from = "from beginning, "
	case pb.StartPosition_SequenceStart:
		first = min(max(req.StartSequence, first), next)
		from = fmt.Sprintf("from sequence, asked_seq=%d actual_", req.StartSequence)
	case pb.StartPosition_TimeDeltaStart:
		start := time.Now().UnixNano() - req.StartTimeDelta
		at, err := s.store.SequenceAt(ctx, ch.stored, start)
		if err != nil {
			return 0, "", fmt.Errorf("start position in %q: %w", ch.name, err)
		}
		if first = at; at == 0 {
			first = next
		}
		from = fmt.Sprintf("from time time='%v' ", time.Unix(0, start))
	}
	return first - 1, fmt.Sprintf("%sseq=%d", from, first), nil
}

// prepare returns a new member of the group that the request names, which may be a new group. Nothing
// of it is known to anyone before record and activate. The caller holds ch.membership through all three.
func (s *memberships) prepare(ctx context.Context, ch *channel, c *client, req *pb.SubscriptionRequest, ackInbox string) (*member, error) {
	if ch.deleted {
		return nil, errChannelDeleted
	}
	subscribed := 0
	if ch.limits.MaxSubscriptions > 0 {
		subscribed = ch.subscriptions() // asks each group
	}
	key, durable := keyOf(req)
	if err := ch.refused[key]; err != nil {
		return nil, err
	}
	joined, from := "Added member to", ""
	g := ch.group(key)
	if g == nil {
		last, position, err := s.startAfter(ctx, ch, req)
		if err != nil {
			return nil, err
		}
		g = newGroup(ch, key, durable, last)
		joined, from = "Started new", ", sending "+position
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.offline != nil {
		joined = "Resumed"
	}
	if key.queue == "" && len(g.members) > 0 {
		return nil, errDuplicateDurable
	}
	if limit := ch.limits.MaxSubscriptions; limit > 0 && g.offline == nil && subscribed >= limit {
		return nil, errTooManySubs
	}
	return &member{group: g, client: c, joined: joined, from: from, state: &spb.SubState{
		ClientID:      req.ClientID,
		QGroup:        key.queue,
		Inbox:         req.Inbox,
		AckInbox:      ackInbox,
		MaxInFlight:   req.MaxInFlight,
		AckWaitInSecs: req.AckWaitInSecs,
		DurableName:   key.durable, // a queue group's is in its name
		LastSent:      g.lastSent,
		IsDurable:     durable || g.durable,
	}}, nil
}

// record writes a prepared member to the store: in the row of the durable that it resumes, or in a new one.
func (s *memberships) record(ctx context.Context, m *member) error {
	ch := m.group.ch
	m.group.mu.Lock()
	offline := m.group.offline
	m.group.mu.Unlock()
	if offline != nil {
		m.state.ID = offline.state.ID
		if err := s.store.UpdateSubscription(ctx, ch.stored, m.state); err != nil {
			return fmt.Errorf("resume subscription on %q: %w", ch.name, err)
		}
		return nil
	}
	if err := s.store.CreateSubscription(ctx, ch.stored, m.state); err != nil {
		return fmt.Errorf("create subscription on %q: %w", ch.name, err)
	}
	return nil
}

// activate lets messages flow to a recorded member: first those that were left unacknowledged. answer tells the client
// that it is subscribed: after that anyone who asks sees the member, and not before that it is sent a message. activate
// reports false if the member's client was closed in the meantime; the caller then has it leave.
func (s *memberships) activate(m *member, answer func()) bool {
	g := m.group
	g.ch.index(m)
	active := m.client.add(m)
	g.mu.Lock()
	// A request that is not durable may name a durable queue group, and the other way round: durable is what one of its
	// members asked for.
	g.durable = g.durable || m.state.IsDurable
	if g.offline != nil {
		now := monotonic()
		for _, seq := range g.offline.unacked.sequences() {
			m.unacked.put(seq, now)
		}
		m.resuming = true
		g.offline = nil
		g.touch(m)
	}
	g.members = append(g.members, m)
	answer()
	s.startLocked(g)
	g.mu.Unlock()
	g.signal()
	return active
}

// startLocked starts the group's goroutine unless it runs. The caller holds g.mu.
func (s *memberships) startLocked(g *group) {
	if !g.running {
		g.running, g.stop = true, s.start(g)
	}
}

// resume starts delivery to a recovered member's group.
func (s *memberships) resume(m *member) {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	s.startLocked(m.group)
}

// leave takes a member out of its group. A durable group that loses its last member stays, with the
// member's messages, unless it unsubscribed; any other group goes with its last member.
// Leaving twice does nothing. An error is the store's; in memory the member is gone.
func (s *memberships) leave(ctx context.Context, m *member, unsubscribe bool) error {
	g, ch := m.group, m.group.ch
	ch.membership.Lock()
	defer ch.membership.Unlock()

	if !ch.unindex(m) {
		return nil
	}
	m.client.remove(m)
	s.acks.remove(m)

	g.mu.Lock()
	g.removeMember(m)
	remain := len(g.members) > 0
	suspend := !remain && g.durable && !unsubscribe
	left := "Removed"
	switch {
	case remain:
		m.gone = true
		g.deal(m, redealDelay)
		left = "Removed member from"
		g.touch(g.members[0]) // the leaver's row may have been the one with the group's last sequence
	case suspend:
		left = "Suspended"
		g.offline = m
		m.state.LastSent = g.lastSent
		m.state.IsClosed = true
		g.touch(m)
	default:
		m.gone = true
	}
	g.mu.Unlock()
	ch.log.Debug(m.logged(left))

	switch {
	case suspend:
		g.signal()
		if err := s.store.UpdateSubscription(ctx, ch.stored, m.state); err != nil {
			return fmt.Errorf("suspend subscription on %q: %w", ch.name, err)
		}
		return s.progress.save(ctx)
	case remain:
		g.signal()
		// The messages dealt out must be on record with their new holders before the
		// leaver's row goes, or a crash in between loses them.
		if err := s.progress.save(ctx); err != nil {
			return fmt.Errorf("redistribute messages of a queue member on %q: %w", ch.name, err)
		}
		return s.deleteRow(ctx, m)
	}
	s.remove(g)
	return s.deleteRow(ctx, m)
}

// remove forgets a group and ends its goroutine. The caller holds ch.membership.
func (s *memberships) remove(g *group) {
	g.ch.mu.Lock()
	delete(g.ch.groups, g)
	if g.ch.keyed[g.key] == g {
		delete(g.ch.keyed, g.key)
	}
	g.ch.mu.Unlock()
	g.mu.Lock()
	stop := g.stop
	g.running, g.stop = false, nil
	g.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// deleteRow deletes the row of a member that is marked as gone.
func (s *memberships) deleteRow(ctx context.Context, m *member) error {
	s.progress.saving.Lock()
	defer s.progress.saving.Unlock()
	if err := s.store.DeleteSubscription(ctx, m.group.ch.stored, m.state.ID); err != nil {
		return fmt.Errorf("delete subscription on %q: %w", m.group.ch.name, err)
	}
	return nil
}

// recover rebuilds the subscriptions of a channel from the store. known returns the registered client
// of an ID, or nil: a subscription without one is dropped, unless it is durable. It returns the
// active members.
func (s *memberships) recover(ctx context.Context, ch *channel, subs []stores.Subscription, known func(id string) *client) ([]*member, error) {
	var active, extra []*member
	for _, sub := range subs {
		st := sub.State
		if st.QGroup == "" && st.DurableName != "" {
			st.IsDurable = true // old releases of NATS Streaming did not write that
		}
		key := groupKey{queue: st.QGroup}
		if st.QGroup == "" && st.IsDurable {
			key = groupKey{client: st.ClientID, durable: st.DurableName}
		}
		c := known(st.ClientID)
		if st.IsClosed {
			c = nil
		}
		if c == nil && !st.IsDurable {
			if err := s.store.DeleteSubscription(ctx, ch.stored, st.ID); err != nil {
				return nil, fmt.Errorf("drop subscription on %q: %w", ch.name, err)
			}
			continue
		}
		if sub.Damaged != nil {
			ch.refuse(key, sub.Damaged)
			continue
		}
		g := ch.group(key)
		if g == nil {
			g = newGroup(ch, key, st.IsDurable, st.LastSent)
			ch.attach(g)
		}
		g.lastSent = max(g.lastSent, st.LastSent)
		g.durable = g.durable || st.IsDurable
		m := &member{group: g, client: c, state: st}
		for _, seq := range sub.Unacked {
			m.unacked.put(seq, 0)
			g.recovered = g.recovered || c != nil
		}
		switch {
		case c == nil && g.offline == nil:
			g.offline = m
		case c == nil:
			extra = append(extra, m)
		default:
			g.members = append(g.members, m)
			active = append(active, m)
		}
	}
	return active, s.settle(ctx, ch, extra)
}

// settle gives the messages of recovered members without a client to those that have one, since only
// a group without active members keeps an offline one, and only one.
func (s *memberships) settle(ctx context.Context, ch *channel, extra []*member) error {
	for g := range ch.groups {
		g.mu.Lock()
		if g.offline != nil && len(g.members) > 0 {
			extra = append(extra, g.offline)
			g.offline = nil
		}
		g.mu.Unlock()
	}
	for _, m := range extra {
		g := m.group
		g.mu.Lock()
		m.gone = true
		if g.offline != nil {
			for _, seq := range m.unacked.sequences() {
				g.offline.unacked.put(seq, 0)
			}
			g.touch(g.offline)
		} else {
			g.deal(m, 0)
		}
		g.mu.Unlock()
	}
	if len(extra) == 0 {
		return nil
	}
	if err := s.progress.save(ctx); err != nil {
		return fmt.Errorf("recover queue groups of %q: %w", ch.name, err)
	}
	var errs []error
	for _, m := range extra {
		errs = append(errs, s.deleteRow(ctx, m))
	}
	return errors.Join(errs...)
}

func newGroup(ch *channel, key groupKey, durable bool, lastSent uint64) *group {
	return &group{ch: ch, key: key, durable: durable, lastSent: lastSent, wake: make(chan struct{}, 1)}
}
