package consumers

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// Client is the client of a subscription.
type Client interface {
	ID() string
	// Healthy reports whether the client answered its last heartbeat.
	Healthy() bool
	// Reachable is false after a start of the server until the client is connected to NATS again. Nothing is sent to it
	// before.
	Reachable() bool
}

// Member is one subscription of one client, active or, for a durable, offline. What its methods return does not change.
type Member struct {
	group  *Group
	client Client // nil: recovered while offline
	// joined and from are what the log says of how it became a member, and of the group's start position.
	joined, from string

	// What follows is guarded by the group's lock, but for the fields of state that never change: all but LastSent and
	// IsClosed.
	state *spb.SubState
	due   expiries
	phase phase
	// resuming says that it has not yet been sent what was unacknowledged when it resumed its durable.
	resuming bool
	// recovered says that it holds messages that were read from the store, whose due times are not known yet.
	recovered bool
}

// phase is where a member is in its life.
type phase int

const (
	phaseJoining phase = iota // not on record yet, so that it is sent nothing
	phaseActive
	phaseOffline // of a durable: it keeps the messages for who resumes it
	phaseGone
)

// Client returns the member's client, nil for one that was recovered without a client.
func (m *Member) Client() Client { return m.client }

// Channel returns the channel that the member subscribes to.
func (m *Member) Channel() *eventlog.Channel { return m.group.ch }

// AckInbox returns the subject to which the client sends acknowledgements.
func (m *Member) AckInbox() string { return m.state.AckInbox }

// Inbox returns the subject to which messages are sent.
func (m *Member) Inbox() string { return m.state.Inbox }

// ClientID returns the ID of the client, also of an offline durable.
func (m *Member) ClientID() string { return m.state.ClientID }

func (m *Member) ackWait() time.Duration { return time.Duration(m.state.AckWaitInSecs) * time.Second }
func (m *Member) window() int            { return int(m.state.MaxInFlight) - m.due.n }
func (m *Member) stalled() bool          { return m.window() <= 0 }
func (m *Member) healthy() bool          { return m.client.Healthy() }
func (m *Member) reachable() bool        { return m.client.Reachable() }

// Describe tells the member in the words of NATS Streaming's log, which people search: what happened to it, its kind, and
// where it is.
func (m *Member) Describe(what string) string {
	kind, name := "", ""
	if m.state.IsDurable {
		kind = "durable "
	}
	switch {
	case m.state.QGroup != "":
		kind += "queue "
		name = fmt.Sprintf(" queue=%s,", m.state.QGroup)
	case m.state.DurableName != "":
		name = fmt.Sprintf(" durable=%s,", m.state.DurableName)
	}
	return fmt.Sprintf("[Client:%s] %s %ssubscription, subject=%s, inbox=%s,%s subid=%d",
		m.state.ClientID, what, kind, m.group.ch.Name(), m.state.Inbox, name, m.state.ID)
}

// behind reports whether the member must first be sent again what it holds: new messages come after that.
func (m *Member) behind() bool { return m.resuming || m.recovered }
