package stan

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Operations of requests, as metrics name them.
const (
	opPublish      = "publish"
	opConnect      = "connect"
	opSubscription = "subscription" // subscribe, unsubscribe, close of a subscription: they share their answer
	opClose        = "close"
	opPing         = "ping"
	opRequest      = "request" // any of these, if it was not looked into
)

// message is one of the generated types of package pb.
type message interface {
	Marshal() ([]byte, error)
}

// Each kind of request has its answer. err is nil for a success; the other fields of an answer are set then only.

// answerPublish answers a publish: on the connection of the client's messages if the client subscribes to the channel, else on one
// where the answer does not wait behind a replay.
func (s *Server) answerPublish(conn *nats.Conn, reply string, from asker, guid string, err error) {
	s.answer(conn, opPublish, reply, from, &pb.PubAck{Guid: guid, Error: clientText(err)}, err)
}

func (s *Server) answerConnect(reply string, from asker, resp *pb.ConnectResponse, err error) {
	if err != nil {
		resp = &pb.ConnectResponse{Error: clientText(err)}
	}
	s.answer(s.conns.Send, opConnect, reply, from, resp, err)
}

func (s *Server) answerPing(reply string, err error) {
	s.answer(s.conns.Send, opPing, reply, asker{}, &pb.PingResponse{Error: clientText(err)}, err)
}

func (s *Server) answerSubscription(reply string, from asker, ackInbox string, err error) {
	s.answer(s.conns.Send, opSubscription, reply, from, &pb.SubscriptionResponse{AckInbox: ackInbox, Error: clientText(err)}, err)
}

func (s *Server) answerClose(reply string, from asker, err error) {
	s.answer(s.conns.Send, opClose, reply, from, &pb.CloseResponse{Error: clientText(err)}, err)
}

// asker is who asks, and for which channel, as the request says. A refusal names both.
type asker struct{ client, channel string }

// answer sends an answer, after a refusal was counted. A request without a reply subject gets none.
func (s *Server) answer(conn *nats.Conn, operation, reply string, from asker, m message, err error) {
	if err != nil {
		s.metrics.Refused(operation, from.client, from.channel, err)
	}
	if reply == "" || !mayAnswer(err, s.store, s.opts.LeaseExpiry) {
		return
	}
	b, failed := m.Marshal()
	if failed != nil {
		panic(fmt.Sprintf("marshal %T: %v", m, failed)) // cannot happen: the type has no way to fail
	}
	s.sendOn(conn, reply, b)
}

// refuseReply drops a request that asks for an answer on a subject which is not an inbox: what it asks for must not happen if it
// cannot be told.
func (s *Server) refuseReply(m *nats.Msg) {
	s.metrics.Refused(opRequest, "", "", fmt.Errorf("on %q: %w", m.Subject, s.addresses.check("reply subject", m.Reply)))
}

// mayAnswer says whether an answer may leave. What was stored may always be told. But another server may have taken the
// lease from one that was paused or cut off from the database, and both hear every request of their NATS cluster. A refusal
// by the server that lost the lease comes from a memory that is out of date, and would reach clients beside the answer of the
// other server, which stored what the first refuses. So a server that lost the lease is silent, and so is one that cannot be
// sure to hold it; the latter may say that the database is unavailable. A client that gets no answer sends its request again.
func mayAnswer(refusal error, lease interface{ LeaseAge() time.Duration }, expiry time.Duration) bool {
	switch {
	case refusal == nil:
		return true
	case errors.Is(refusal, stores.ErrFenced):
		return false
	case errors.Is(refusal, stores.ErrUnavailable):
		return true
	}
	return lease.LeaseAge() < expiry
}
