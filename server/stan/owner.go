package stan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/proto/refusal"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
)

// ErrPermission refuses what a client, or its user of NATS, has no right to.
var ErrPermission = errors.New("stan: " + refusal.Permissions)

// Requests to subscribe, to unsubscribe and to close name a client, and anybody can name any. NATS does not tell who sent a
// message, but whose inbox the reply subject is.

// owner is whose a client or a subscription is: the connection that asked for it, and that listens to its inbox.
type owner struct {
	client string // ID
	origin origin // of the request; empty if it is not known, as after a restart
	inbox  string
}

// mayAct returns ErrPermission if a request with that reply subject comes from somebody else than the owner.
func (s *Server) mayAct(o owner, reply string) error {
	foreign := foreignRequest(o.client)
	if reply == "" {
		return foreign // nobody would hear the answer
	}
	if o.proves(reply) {
		return nil
	}
	from := originOf(reply)
	found, err := s.conns.Peers.Listening(o.inbox, reply)
	if err != nil {
		return fmt.Errorf("find the sender of a request: %w", err)
	}
	owners, senders := found[0], found[1]
	switch {
	case len(owners) > 0:
		if !slices.ContainsFunc(senders, func(p natsconn.Peer) bool { return slices.Contains(owners, p) }) {
			return foreign
		}
	case o.origin != "" && from != o.origin: // a client that closes may have left its heartbeat inbox, but not this
		return foreign
	}
	return nil // its own request, or nobody can tell
}

// proves reports whether a reply subject shows that the owner itself asks: only it knows where it awaits its answers.
func (o owner) proves(reply string) bool {
	from := originOf(reply)
	return from != "" && from == o.origin
}

func foreignRequest(id string) error {
	return fmt.Errorf("%w: the request does not come from client %q", ErrPermission, id)
}

// turn returns the key of a request in a client's name, for turns: what others send in its name does not hold up its own
// requests.
func turn(id string, from origin) string { return id + " " + string(from) }

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

// mayConsume returns ErrPermission if rights are configured, and a user of NATS that would get the messages of a channel has none
// to them: the one behind the connection that awaits the answer, or one behind a connection that listens to the inbox. Without a
// reply subject, the latter decide alone.
func (s *Server) mayConsume(client, channel, inbox, reply string) error {
	may := s.opts.MayConsume()
	if may == nil {
		return nil
	}
	var subjects []string
	for _, subject := range []string{inbox, reply} {
		if subject != "" {
			subjects = append(subjects, subject)
		}
	}
	found, err := s.conns.Peers.Listening(subjects...)
	if err != nil {
		return fmt.Errorf("find the user of a client: %w", err)
	}
	// Libraries listen before they ask. Who does not may listen to more than an inbox, and be anybody.
	if slices.ContainsFunc(found, func(peers []natsconn.Peer) bool { return len(peers) == 0 }) {
		return fmt.Errorf("%w: this server's NATS does not know the user of client %q: connect to it directly", ErrPermission, client)
	}
	for _, p := range slices.Concat(found...) {
		if p.User == "" {
			return fmt.Errorf("%w: NATS has not checked who client %q is: log in with one name", ErrPermission, client)
		}
		if !may(p.User, channel) {
			return fmt.Errorf("%w: user %q has no right to consume channel %q", ErrPermission, p.User, channel)
		}
	}
	return nil
}

// Enforce closes the subscriptions that their users have no right to any more. Durables keep their position.
func (s *Server) Enforce() {
	s.enforced.Add(1)
	if s.opts.MayConsume() == nil {
		return
	}
	s.handle(func() {
		for _, c := range s.clients.all() {
			if !c.away.Load() { // else when it arrives
				s.requests.Go(func() { s.enforceNow(c) })
			}
		}
	})
}

// enforceNow is enforce for a client that may have lost its connection to NATS meanwhile: nobody can tell then who its user is,
// and it is away until it is back.
func (s *Server) enforceNow(c *client) {
	ctx, cancel := context.WithTimeout(context.Background(), min(probeTimeout, s.opts.HeartbeatTimeout))
	defer cancel()
	if err := s.asks.ask(ctx, c.info.HbInbox); errors.Is(err, nats.ErrNoResponders) {
		c.leave()
		return
	}
	s.enforce(c)
}

func (s *Server) enforce(c *client) {
	if s.opts.MayConsume() == nil {
		return
	}
	for _, m := range c.all() {
		err := s.mayConsume(c.info.ID, m.Line().Name(), m.Inbox(), "")
		if err == nil {
			continue
		}
		s.failed(s.leave(context.Background(), m, false))
		s.log.Warn("Closed a subscription", "client", c.info.ID, "channel", m.Line().Name(), "error", strings.TrimPrefix(err.Error(), "stan: "))
	}
}
