package stan

import (
	"slices"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/natsconn"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// appender returns who publishes, or nil if that is not to be recorded. Anybody can name a client by its ID, so that a publish without
// the connection ID says nothing about the user.
func (s *Server) appender(c *client, req *pb.PubMsg) *stores.Appender {
	switch {
	case !s.opts.RecordAppenders:
		return nil
	case len(req.ConnID) == 0:
		return c.named
	}
	return c.identity.Load()
}

// identify finds out which user of NATS a client is, and where it is: the one connection that listens to its heartbeat inbox and, if the
// reply subject of its request is known, awaits the answer there. If there are several, or NATS is elsewhere, nobody can tell.
func (s *Server) identify(c *client, reply string) {
	if !s.opts.RecordAppenders {
		return
	}
	subjects := []string{c.info.HbInbox}
	if reply != "" {
		subjects = append(subjects, reply)
	}
	found, err := s.conns.Peers.Listening(subjects...)
	if err != nil {
		s.log.Warn("Failed to find out who a client is: its messages are recorded with its client ID only", "client", c.info.ID, "error", err)
		return
	}
	peers := found[0]
	if len(found) > 1 && len(found[1]) > 0 {
		peers = slices.DeleteFunc(slices.Clone(peers), func(p natsconn.Peer) bool { return !slices.Contains(found[1], p) })
	}
	if len(peers) == 1 {
		c.identity.Store(&stores.Appender{Principal: peers[0].User, ClientID: c.info.ID, Address: peers[0].Host})
	}
}
