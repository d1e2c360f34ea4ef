package consumers

import (
	"cmp"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Receiver is how a member that is not a client of NATS Streaming gets its messages.
type Receiver interface {
	// Receive is called under a lock: it does not block, nor call Consumers. deliveries is 1 for the first delivery. In a line of a
	// pattern, m.Data has the position in place of the sequence; m.Sequence is that of the channel.
	Receive(m stores.Message, deliveries uint32)
	// Waits reports whether a message that it received was not sent yet. It is called under the same lock.
	Waits(seq uint64) bool
	// Left is called once the member is no longer part of its group, whoever ended it.
	Left()
}

// Rejection is what becomes of a message that a consumer rejects.
type Rejection struct {
	Park, Skip bool          // neither: it is sent again
	Delay      time.Duration // until it is sent again; 0: the backoff of its delivery, or at once
	Reason     string        // of a parked message, as SQL and the API show it
}

// Reject rejects a message that the member's group was sent. Any other message is ignored. Park needs a durable or a queue group;
// for another one it is like a rejection without it.
func (c *Consumers) Reject(m *Member, seq uint64, r Rejection) { m.group.reject(seq, r) }

func (g *Group) reject(seq uint64, r Rejection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, at := &g.state, now()
	if h := s.unacked.holder(seq); h == nil || h == &s.waiting {
		return
	}
	deliveries := s.deliveries(seq)
	switch {
	case r.Park && s.name != nil:
		s.park(seq, cmp.Or(r.Reason, "rejected"), at)
		g.took(LimitPark, seq, deliveries, cmp.Or(r.Reason, "rejected"))
	case r.Skip:
		s.forget(seq, at)
	case s.spent(seq):
		g.limit(seq)
	default:
		s.retry(seq, g.retryDelay(deliveries, r.Delay), at)
	}
	g.touch()
	g.signal()
}

// retryDelay returns how long a rejected message waits: as long as asked, else the backoff of its delivery.
func (g *Group) retryDelay(deliveries int, asked time.Duration) time.Duration {
	if r := g.state.rules; asked == 0 && r != nil && len(r.backoff) > 0 {
		return r.backoff[min(deliveries, len(r.backoff))-1]
	}
	return min(max(asked, 0), MaxWait)
}

// SetWindow changes how many unacknowledged messages the member may hold.
func (c *Consumers) SetWindow(m *Member, n int32) {
	g := m.group
	g.mu.Lock()
	defer g.mu.Unlock()
	m.state.MaxInFlight = min(max(n, 0), int32(c.opts.MaxInflight))
	g.signal()
}
