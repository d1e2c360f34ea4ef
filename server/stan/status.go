package stan

import (
	"cmp"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
)

// ClientStatus is what monitoring shows of a client.
type ClientStatus struct {
	ID             string
	HeartbeatInbox string
	Members        []*consumers.Member // its active subscriptions
	Healthy        bool                // it is connected, and answered its last heartbeat
}

func (c *client) status() ClientStatus {
	return ClientStatus{ID: c.info.ID, HeartbeatInbox: c.info.HbInbox, Members: c.all(), Healthy: c.Healthy() && c.Reachable()}
}

// Clients returns all registered clients, by ID.
func (s *Server) Clients() []ClientStatus {
	var all []ClientStatus
	for _, c := range s.clients.all() {
		all = append(all, c.status())
	}
	slices.SortFunc(all, func(a, b ClientStatus) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// ClientStatus returns the registered client of an ID. It reports false if there is none.
func (s *Server) ClientStatus(id string) (ClientStatus, bool) {
	c := s.clients.get(id)
	if c == nil {
		return ClientStatus{}, false
	}
	return c.status(), true
}

// Unanswered returns how many published messages were received and not answered yet.
func (s *Server) Unanswered() int { return s.inbox.unanswered() }
