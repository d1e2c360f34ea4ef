package server

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// message is one of the generated types of package pb.
type message interface {
	Marshal() ([]byte, error)
}

// respond sends an answer; a request without a reply subject gets none.
func (s *service) respond(reply string, m message) { s.respondOn(s.conns.send, reply, m) }

func (s *service) respondOn(conn *nats.Conn, reply string, m message) {
	s.metrics.answered(m)
	if reply == "" || !mayAnswer(refusalOf(m), s.store) {
		return
	}
	b, err := m.Marshal()
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", m, err)) // cannot happen: the type has no way to fail
	}
	s.sendOn(conn, reply, b)
}

// refusalOf is the error that an answer carries, "" if it has none.
func refusalOf(m message) string {
	switch a := m.(type) {
	case *pb.PubAck:
		return a.Error
	case *pb.ConnectResponse:
		return a.Error
	case *pb.SubscriptionResponse:
		return a.Error
	case *pb.CloseResponse:
		return a.Error
	case *pb.PingResponse:
		return a.Error
	}
	return ""
}

// mayAnswer says whether an answer may leave. What was stored may always be said. But another server may have taken the
// lease, from one that was paused or cut off from the database, and both hear every request of their NATS cluster: a
// refusal by the one that lost it, from a memory that is not current, would reach clients beside the answer of the other,
// who stored what the first refuses. So the one that lost the lease is silent, and so is one that can not be sure to have
// it; the latter says that the database is unavailable. Whose request nobody answers, sends it again.
func mayAnswer(refusal string, lease interface{ LeaseAge() time.Duration }) bool {
	switch {
	case refusal == "":
		return true
	case strings.Contains(refusal, stores.ErrFenced.Error()):
		return false
	case strings.Contains(refusal, stores.ErrUnavailable.Error()):
		return true
	}
	return lease.LeaseAge() < leaseExpiry
}
