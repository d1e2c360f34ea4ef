package consumers

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// Client is a subscription's client.
type Client interface {
	ID() string
	// Healthy reports whether the client answered its last heartbeat.
	Healthy() bool
	// Reachable is false after a server start until the client has reconnected to NATS. Until then it is sent nothing.
	Reachable() bool
}

// Member is one subscription of a client: active or, for a durable, offline. The results of its exported methods do not
// change.
type Member struct {
	group    *Group
	client   Client   // nil: recovered while offline
	receiver Receiver // nil: messages go to its inbox
	start    Start
	// joined and from are the log's words for how it joined and for the group's start position.
	joined, from string

	// The group's lock guards the fields below, except the parts of state that never change: all but LastSent and
	// IsClosed.
	state *spb.SubState
	due   expiries
	phase phase
	rules *rules // of the group; nil: none
	// resuming means that it must first be sent the unacknowledged messages of the durable that it resumed.
	resuming bool
	// recovered means that it holds messages from the store whose due times are not known yet.
	recovered bool
}

// Start is where a member began.
type Start struct {
	Resumed  bool   // the group was there before
	LastSent uint64 // by the group
	Unacked  int    // messages of the group
}

// phase is a stage in the life of a member.
type phase int

const (
	phaseJoining phase = iota // not yet stored, so it is sent nothing
	phaseActive
	phaseOffline // of a durable: it keeps the messages for its successor
	phaseGone
)

// Client returns the member's client, or nil if it was recovered without one.
func (m *Member) Client() Client { return m.client }

// Start returns where the member began.
func (m *Member) Start() Start { return m.start }

// Durable reports whether the member's position outlives it.
func (m *Member) Durable() bool { return m.state.IsDurable }

// Queue reports whether the member belongs to a queue group.
func (m *Member) Queue() bool { return m.state.QGroup != "" }

// AckWait returns how long a message waits for its acknowledgement, as the member asked for.
func (m *Member) AckWait() time.Duration { return m.ackWait() }

// Line returns what the member subscribes to.
func (m *Member) Line() Line { return m.group.line }

// AckInbox returns the subject to which the client sends acknowledgements.
func (m *Member) AckInbox() string { return m.state.AckInbox }

// Inbox returns the subject on which the member receives messages.
func (m *Member) Inbox() string { return m.state.Inbox }

// ClientID returns the client's ID, even for an offline durable.
func (m *Member) ClientID() string { return m.state.ClientID }

func (m *Member) ackWait() time.Duration { return time.Duration(m.state.AckWaitInSecs) * time.Second }
func (m *Member) window() int            { return m.maxInFlight() - m.due.n }
func (m *Member) stalled() bool          { return m.window() <= 0 }
func (m *Member) healthy() bool          { return m.client.Healthy() }
func (m *Member) reachable() bool        { return m.client.Reachable() }

// maxInFlight is how many unacknowledged messages the member may hold. A receiver's own bound is never exceeded.
func (m *Member) maxInFlight() int {
	n := int(m.state.MaxInFlight)
	if m.rules == nil || m.rules.maxInflight == 0 {
		return n
	}
	if m.receiver != nil {
		return min(n, int(m.rules.maxInflight))
	}
	return int(m.rules.maxInflight)
}

// id is that of the subscription in the store; 0 is that of messages which wait.
func (m *Member) id() uint64 {
	if m.state == nil {
		return 0
	}
	return m.state.ID
}

// Describe describes the member in the words of NATS Streaming's log, which operators search: what happened, the kind
// of subscription, and where.
func (m *Member) Describe(what string) string {
	kind, name := "", ""
	if m.state.IsDurable {
		kind = "durable "
	}
	switch {
	case m.state.QGroup != "":
		kind += "queue "
		name = fmt.Sprintf(" queue=%s,", printable.Value(m.state.QGroup))
	case m.state.DurableName != "":
		name = fmt.Sprintf(" durable=%s,", printable.Value(m.state.DurableName))
	}
	return fmt.Sprintf("[Client:%s] %s %ssubscription, subject=%s, inbox=%s,%s subid=%d",
		m.state.ClientID, what, kind, printable.Value(m.group.line.Name()), printable.Value(m.state.Inbox), name, m.state.ID)
}

// behind reports whether the member must be sent its unacknowledged messages before new ones.
func (m *Member) behind() bool { return m.resuming || m.recovered }
