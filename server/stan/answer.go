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

func (s *Server) answerConnect(reply string, resp *pb.ConnectResponse, err error) {
	if err != nil {
		resp = &pb.ConnectResponse{Error: clientText(err)}
	}
	s.answer(s.conns.Send, opConnect, reply, resp, err)
}

func (s *Server) answerPing(reply string, err error) {
	s.answer(s.conns.Send, opPing, reply, &pb.PingResponse{Error: clientText(err)}, err)
}

func (s *Server) answerSubscription(reply, ackInbox string, err error) {
	s.answer(s.conns.Send, opSubscription, reply, &pb.SubscriptionResponse{AckInbox: ackInbox, Error: clientText(err)}, err)
}

func (s *Server) answerClose(reply string, err error) {
	s.answer(s.conns.Send, opClose, reply, &pb.CloseResponse{Error: clientText(err)}, err)
}

// answer sends an answer, and counts it if it is a refusal. A request without a reply subject gets none. Errors of messages
// that reached the event log were counted there, so publishes are counted where they are refused.
func (s *Server) answer(conn *nats.Conn, operation, reply string, m message, err error) {
	if err != nil && operation != opPublish {
		s.metrics.Failed(operation, err)
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
	err := s.addresses.check("reply subject", m.Reply)
	s.metrics.Failed(opRequest, err)
	s.log.Warn("Request refused", "subject", m.Subject, "error", err)
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
