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
	group  *Group
	client Client // nil: recovered while offline
	// joined and from are the log's words for how it joined and for the group's start position.
	joined, from string

	// The group's lock guards the fields below, except the parts of state that never change: all but LastSent and
	// IsClosed.
	state *spb.SubState
	due   expiries
	phase phase
	// resuming means that it must first be sent the unacknowledged messages of the durable that it resumed.
	resuming bool
	// recovered means that it holds messages from the store whose due times are not known yet.
	recovered bool
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

// Line returns what the member subscribes to.
func (m *Member) Line() Line { return m.group.line }

// AckInbox returns the subject to which the client sends acknowledgements.
func (m *Member) AckInbox() string { return m.state.AckInbox }

// Inbox returns the subject on which the member receives messages.
func (m *Member) Inbox() string { return m.state.Inbox }

// ClientID returns the client's ID, even for an offline durable.
func (m *Member) ClientID() string { return m.state.ClientID }

func (m *Member) ackWait() time.Duration { return time.Duration(m.state.AckWaitInSecs) * time.Second }
func (m *Member) window() int            { return int(m.state.MaxInFlight) - m.due.n }
func (m *Member) stalled() bool          { return m.window() <= 0 }
func (m *Member) healthy() bool          { return m.client.Healthy() }
func (m *Member) reachable() bool        { return m.client.Reachable() }

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
