package fuzz

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

// The subjects of client requests.
const (
	discoverSubject    = "_STAN.discover." + clusterID
	pingSubject        = discoverSubject + ".pings"
	publishPrefix      = "_STAN.pub." + clusterID + "."
	subscribeSubject   = "_STAN.sub." + clusterID
	unsubscribeSubject = "_STAN.unsub." + clusterID
	subCloseSubject    = "_STAN.subclose." + clusterID
	closeSubject       = "_STAN.close." + clusterID
)

// requestSubjects are the subjects on which every request is answered.
var requestSubjects = []string{discoverSubject, subscribeSubject, unsubscribeSubject, subCloseSubject, closeSubject}

type encoder interface{ Marshal() ([]byte, error) }

type decoder interface{ Unmarshal([]byte) error }

func encode(t testing.TB, m encoder) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func decode(t testing.TB, b []byte, m decoder) {
	t.Helper()
	if err := m.Unmarshal(b); err != nil {
		t.Fatalf("cannot decode %T: %v: %x", m, err, b)
	}
}

// mailbox receives everything that the server sends to the clients of one test. It has one NATS subscription, to
// preserve the server's order.
type mailbox struct {
	t      testing.TB
	nc     *nats.Conn
	sub    *nats.Subscription
	prefix string
	n      int
	// other handles messages that are not an answer.
	other func(*nats.Msg)
}

func newMailbox(t testing.TB, nc *nats.Conn, other func(*nats.Msg)) *mailbox {
	t.Helper()
	prefix := nats.NewInbox()
	sub, err := nc.SubscribeSync(prefix + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	return &mailbox{t: t, nc: nc, sub: sub, prefix: prefix, other: other}
}

func (b *mailbox) close() {
	b.t.Helper()
	if err := b.sub.Unsubscribe(); err != nil {
		b.t.Error(err)
	}
}

// subject returns an unused subject.
func (b *mailbox) subject() string {
	b.n++
	return fmt.Sprintf("%s.%d", b.prefix, b.n)
}

// request sends a request and waits for the answer.
func (b *mailbox) request(subject string, data []byte) []byte {
	b.t.Helper()
	reply := b.subject()
	b.send(subject, reply, data)
	return b.await(reply)
}

func (b *mailbox) send(subject, reply string, data []byte) {
	b.t.Helper()
	if err := b.nc.PublishRequest(subject, reply, data); err != nil {
		b.t.Fatal(err)
	}
}

// await waits for the next message on a subject.
func (b *mailbox) await(subject string) []byte {
	b.t.Helper()
	for {
		m := b.next("an answer")
		if m.Subject == subject {
			if m.Header.Get("Status") != "" {
				b.t.Fatalf("no responder: status %s", m.Header.Get("Status"))
			}
			return m.Data
		}
		b.other(m)
	}
}

// next returns the next message.
func (b *mailbox) next(what string) *nats.Msg {
	b.t.Helper()
	m, err := b.sub.NextMsg(patience)
	if errors.Is(err, nats.ErrTimeout) {
		b.t.Fatalf("no %s within %v:\n%s", what, patience, describe(goroutines()))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return m
}

// The requests of every client. Each method returns the error in the answer.

func (b *mailbox) connect(req *pb.ConnectRequest) string {
	b.t.Helper()
	var resp pb.ConnectResponse
	decode(b.t, b.request(discoverSubject, encode(b.t, req)), &resp)
	if resp.Error == "" {
		checkConnected(b.t, req, &resp)
	}
	return resp.Error
}

// checkConnected checks the answer to an accepted connect request.
func checkConnected(t testing.TB, req *pb.ConnectRequest, got *pb.ConnectResponse) {
	t.Helper()
	want := pb.ConnectResponse{
		PubPrefix:        publishPrefix[:len(publishPrefix)-1],
		SubRequests:      subscribeSubject,
		UnsubRequests:    unsubscribeSubject,
		SubCloseRequests: subCloseSubject,
		CloseRequests:    closeSubject,
		Protocol:         1,
	}
	if req.Protocol >= 1 {
		want.PingRequests, want.PingInterval, want.PingMaxOut = pingSubject, req.PingInterval, req.PingMaxOut
	}
	if got.String() != want.String() {
		t.Fatalf("connect %v: got %v, want %v", req, got, &want)
	}
}

func (b *mailbox) closeClient(id string) string {
	b.t.Helper()
	var resp pb.CloseResponse
	decode(b.t, b.request(closeSubject, encode(b.t, &pb.CloseRequest{ClientID: id})), &resp)
	return resp.Error
}

func (b *mailbox) publish(msg *pb.PubMsg) string {
	b.t.Helper()
	var ack pb.PubAck
	decode(b.t, b.request(publishPrefix+msg.Subject, encode(b.t, msg)), &ack)
	if ack.Guid != msg.Guid {
		b.t.Fatalf("PubAck for %q, published %q", ack.Guid, msg.Guid)
	}
	return ack.Error
}

func (b *mailbox) subscribe(req *pb.SubscriptionRequest) (ackInbox, failure string) {
	b.t.Helper()
	var resp pb.SubscriptionResponse
	decode(b.t, b.request(subscribeSubject, encode(b.t, req)), &resp)
	if (resp.AckInbox == "") == (resp.Error == "") {
		b.t.Fatalf("subscribe %v: got %v, want either an ack inbox or an error", req, &resp)
	}
	return resp.AckInbox, resp.Error
}

// unsubscribe sends a request to unsubscribe or to close a subscription.
func (b *mailbox) unsubscribe(subject string, req *pb.UnsubscribeRequest) string {
	b.t.Helper()
	var resp pb.SubscriptionResponse
	decode(b.t, b.request(subject, encode(b.t, req)), &resp)
	return resp.Error
}

func (b *mailbox) ping(connID []byte) string {
	b.t.Helper()
	var resp pb.PingResponse
	decode(b.t, b.request(pingSubject, encode(b.t, &pb.Ping{ConnID: connID})), &resp)
	return resp.Error
}

func (b *mailbox) ack(inbox, channel string, seq uint64) {
	b.t.Helper()
	if err := b.nc.Publish(inbox, encode(b.t, &pb.Ack{Subject: channel, Sequence: seq})); err != nil {
		b.t.Fatal(err)
	}
}

// ackWait is long enough to prevent redeliveries.
const ackWait = int32(time.Hour / time.Second)
