package stan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// ErrPermission refuses what a client, or its user of NATS, has no right to.
var ErrPermission = errors.New("stan: permissions violation")

// Requests to subscribe, to unsubscribe and to close name a client, and anybody can name any. NATS does not tell who sent a
// message, but whose inbox the reply subject is: it belongs to the connection on which the client listens for its heartbeats.

// mayAct returns ErrPermission if a request in a client's name comes from somebody else.
func (s *Server) mayAct(c *client, reply string) error {
	foreign := foreignRequest(c.info.ID)
	if reply == "" {
		return foreign // nobody would hear the answer
	}
	from := originOf(reply)
	if from != "" && from == c.origin {
		return nil // only its owner knows where it awaits its answers
	}
	found, err := s.conns.Peers.Listening(c.info.HbInbox, reply)
	if err != nil {
		return fmt.Errorf("find the sender of a request: %w", err)
	}
	owners, senders := found[0], found[1]
	switch {
	case len(owners) > 0:
		if len(common(owners, senders)) == 0 {
			return foreign
		}
	case c.origin != "" && from != c.origin: // a client that closes may have left its heartbeat inbox, but not this
		return foreign
	}
	return nil // its own request, or nobody can tell
}

func foreignRequest(id string) error {
	return fmt.Errorf("%w: the request does not come from client %q", ErrPermission, id)
}

// turnOf returns the key of a request in a client's name, for inTurn: what others send in its name does not hold up its own
// requests.
func (s *Server) turnOf(id, reply string) string {
	from := originOf(reply)
	if c := s.clients.get(id); c != nil && reply == "" {
		from = c.origin
	}
	return id + " " + string(from)
}

// abandoned returns ErrPermission if somebody listens to the inbox of a member. A client that did not get the answer to its
// subscribe request takes the subscription back by its inbox, and asks for no answer.
func (s *Server) abandoned(m *consumers.Member) error {
	found, err := s.conns.Peers.Listening(m.Inbox())
	switch {
	case err != nil:
		return fmt.Errorf("find the owner of a subscription: %w", err)
	case len(found[0]) > 0:
		return foreignRequest(m.ClientID())
	}
	return nil
}

// common returns the peers that are in both lists.
func common(a, b []natsconn.Peer) []natsconn.Peer {
	var both []natsconn.Peer
	for _, p := range a {
		if slices.Contains(b, p) {
			both = append(both, p)
		}
	}
	return both
}

// mayConsume returns ErrPermission if rights are configured, and a user of NATS that would get the messages of a channel has none
// to them. The users are those behind the connection that awaits the answer, and behind the one that listens to the inbox.
func (s *Server) mayConsume(c *client, channel, inbox, reply string) error {
	may := s.opts.MayConsume()
	if may == nil {
		return nil
	}
	subjects := []string{c.info.HbInbox, inbox}
	if reply != "" {
		subjects = append(subjects, reply)
	}
	found, err := s.conns.Peers.Listening(subjects...)
	if err != nil {
		return fmt.Errorf("find the user of a client: %w", err)
	}
	readers := found[0]
	if reply != "" {
		readers = common(found[0], found[2])
	}
	if len(readers) == 0 {
		return fmt.Errorf("%w: this server's NATS does not know the user of client %q: connect to it directly", ErrPermission, c.info.ID)
	}
	for _, p := range append(readers, found[1]...) {
		if !may(p.User, channel) {
			return fmt.Errorf("%w: user %q has no right to consume channel %q", ErrPermission, p.User, channel)
		}
	}
	return nil
}

// Enforce closes the subscriptions that their users have no right to any more. Durables keep their position.
func (s *Server) Enforce() {
	s.handle(func() {
		for _, c := range s.clients.all() {
			if !c.away.Load() { // else when it arrives
				s.requests.Go(func() { s.enforce(c) })
			}
		}
	})
}

func (s *Server) enforce(c *client) {
	if s.opts.MayConsume() == nil {
		return
	}
	for _, m := range c.all() {
		err := s.mayConsume(c, m.Channel().Name(), m.Inbox(), "")
		if err == nil {
			continue
		}
		s.log.Warn("Closed a subscription", "client", c.info.ID, "channel", m.Channel().Name(), "error", strings.TrimPrefix(err.Error(), "stan: "))
		s.failed(s.leave(context.Background(), m, false))
	}
}
