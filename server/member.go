package server

import (
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
)

// member is one subscription of one client, active or, for a durable, offline.
type member struct {
	group  *group
	client *client // nil while offline
	// joined and from are what the log says of how it became a member, and of the group's start position.
	joined, from string

	// What follows is guarded by group.mu, but for the fields of state that never change while the
	// member is active: inbox, ack inbox, MaxInFlight, AckWait and ID.
	state   *spb.SubState
	unacked unacked
	dirty   bool // progress changed since it was last written
	gone    bool // its row is, or is about to be, deleted
	// resuming says that it has not yet been sent what was unacknowledged when it resumed its durable.
	resuming bool
}

func (m *member) ackWait() time.Duration { return time.Duration(m.state.AckWaitInSecs) * time.Second }
func (m *member) stalled() bool          { return m.unacked.len() >= int(m.state.MaxInFlight) }

// healthy reports whether the member's client answered its last heartbeat.
func (m *member) healthy() bool { return m.client.failedBeats.Load() == 0 }

// logged is the member in the words of NATS Streaming's log, which people search: what happened to it, its kind, and where
// it is.
func (m *member) logged(what string) string {
	kind, name := "", ""
	if m.group.durable {
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
		m.state.ClientID, what, kind, m.group.ch.name, m.state.Inbox, name, m.state.ID)
}
