package server

import (
	"slices"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// group is the members that share one position in a channel: a queue group, or a plain
// subscription, which is a group of one. A durable group outlives its members.
type group struct {
	ch      *channel
	key     groupKey
	durable bool
	// wake tells the group's goroutine that there may be something to send. It has one slot and
	// carries no data.
	wake chan struct{}

	mu       sync.Mutex // guards what follows
	lastSent uint64
	// members are the active ones. A chosen head of this list moves to its back.
	members []*member
	// offline is the last member of a durable group without active ones: its row in the store, and
	// the messages that the next member receives first.
	offline *member
	// redelivered counts the redeliveries of each unacknowledged message. It is lost with the process.
	redelivered map[uint64]uint32
	// recovered says that the members hold messages read from the store, whose due times are
	// not known yet.
	recovered bool
	running   bool   // the group has a goroutine
	stop      func() // ends it
}

// groupKey identifies a group within its channel. A plain subscription that is not durable has
// the zero key and cannot be joined.
type groupKey struct {
	client  string // of a plain durable; "" for a queue group, which belongs to no client
	durable string // durable name of a plain durable
	queue   string // queue group name; of a durable queue group, "durable:queue"
}

// signal wakes the group's goroutine.
func (g *group) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// pick chooses the receiver of a message: the member with the fewest unacknowledged messages
// among those that are neither stalled nor failing heartbeats; among equals the first, and a chosen
// head goes to the back of the list. If none qualifies, it is the head for a redelivery, and for a new message the first
// that is not stalled, or nil. The caller holds g.mu.
func (g *group) pick(redelivery bool) *member {
	best := -1
	for i, m := range g.members {
		if !m.stalled() && m.healthy() && (best < 0 || m.unacked.len() < g.members[best].unacked.len()) {
			best = i
		}
	}
	switch {
	case best >= 0:
	case redelivery:
		best = 0
	default:
		if best = slices.IndexFunc(g.members, func(m *member) bool { return !m.stalled() }); best < 0 {
			return nil
		}
	}
	m := g.members[best]
	if best == 0 && len(g.members) > 1 {
		g.members = append(g.members[1:], m)
	}
	return m
}

// holder returns the member that holds the message as unacknowledged, or nil. The caller holds g.mu.
func (g *group) holder(seq uint64, first *member) *member {
	if first.unacked.has(seq) {
		return first
	}
	for _, m := range g.members {
		if m.unacked.has(seq) {
			return m
		}
	}
	return nil
}

// ack handles an acknowledgement that came on m's ack inbox. One for a message that another member
// holds counts as well: it may have been redelivered there while the ack was on its way.
func (g *group) ack(m *member, seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := g.holder(seq, m)
	if h == nil {
		return
	}
	g.trace("Received ack", m, seq)
	wasStalled := h.stalled()
	h.unacked.remove(seq)
	g.ch.metrics.acks.Add(1)
	delete(g.redelivered, seq)
	g.touch(h)
	if wasStalled && !h.stalled() {
		g.signal()
	}
}

// touch has the member's progress written soon. The caller holds g.mu.
func (g *group) touch(m *member) {
	if !m.dirty {
		m.dirty = true
		g.ch.progress.add(g)
	}
}

// changes returns the progress of the members that changed, as one consistent picture: written
// together, no message is taken for acknowledged because one member's row is newer than another's.
func (g *group) changes() []stores.Progress {
	g.mu.Lock()
	defer g.mu.Unlock()
	var changed []stores.Progress
	members := g.members
	if g.offline != nil {
		members = append(slices.Clone(members), g.offline)
	}
	for _, m := range members {
		if m.dirty && !m.gone {
			changed = append(changed, stores.Progress{
				Subscription: m.state.ID,
				LastSent:     g.lastSent,
				Unacked:      m.unacked.sequences(),
			})
		}
		m.dirty = false
	}
	return changed
}

// deal gives a leaver's unacknowledged messages to the remaining members in turn, in the order in
// which they are due, to be sent again after the delay. The caller holds g.mu.
func (g *group) deal(leaver *member, delay time.Duration) {
	due := monotonic() + delay
	for i, seq := range leaver.unacked.byExpiry() {
		m := g.members[i%len(g.members)]
		m.unacked.put(seq, due)
		g.touch(m)
	}
	leaver.unacked = unacked{}
}

// only returns the active member of a plain durable, or nil.
func (g *group) only() *member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.members) == 0 {
		return nil
	}
	return g.members[0]
}

// removeMember takes m out of the active members. The caller holds g.mu.
func (g *group) removeMember(m *member) {
	g.members = slices.DeleteFunc(g.members, func(x *member) bool { return x == m })
}

// touchAll has the progress of every member written again.
func (g *group) touchAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.members {
		g.touch(m)
	}
	if g.offline != nil {
		g.touch(g.offline)
	}
}
