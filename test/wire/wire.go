// Package wire speaks the NATS Streaming protocol message by message. Tests can send what client libraries do not send,
// and see what they hide.
package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go/pb"
)

// Patience bounds every wait. A passing test never waits that long.
const Patience = 90 * time.Second

// Cluster is the cluster ID of the servers under test.
const Cluster = "test-cluster"

// The subjects of requests.
const (
	Discover    = "_STAN.discover." + Cluster
	Pings       = Discover + ".pings"
	Publish     = "_STAN.pub." + Cluster
	Subscribe   = "_STAN.sub." + Cluster
	Unsubscribe = "_STAN.unsub." + Cluster
	SubClose    = "_STAN.subclose." + Cluster
	Close       = "_STAN.close." + Cluster
)

// Timeout is the error of a request without an answer.
const Timeout = "no answer"

// Conn is a NATS connection to a server.
type Conn struct {
	t testing.TB
	*nats.Conn
}

// Dial connects to NATS. The connection reconnects after a server restart, and is closed when the test ends.
func Dial(t testing.TB, url string, opts ...nats.Option) *Conn {
	t.Helper()
	opts = append(opts, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return &Conn{t: t, Conn: nc}
}

// Message is implemented by the types of package pb.
type Message interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// Encode encodes a message.
func Encode(t testing.TB, m Message) []byte {
	t.Helper()
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Ask sends bytes as a request and decodes the answer. It returns false if none arrives within the wait.
func (c *Conn) Ask(subject string, req []byte, resp Message, wait time.Duration) bool {
	c.t.Helper()
	msg, err := c.Request(subject, req, wait)
	switch {
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoResponders):
		return false
	case err != nil:
		c.t.Fatalf("request to %s: %v", subject, err)
	}
	if err := resp.Unmarshal(msg.Data); err != nil {
		c.t.Fatalf("answer of %s: %v", subject, err)
	}
	return true
}

// ask is like Ask, but an answer must arrive.
func (c *Conn) ask(subject string, req, resp Message) {
	c.t.Helper()
	if !c.Ask(subject, Encode(c.t, req), resp, Patience) {
		c.t.Fatalf("no answer to %T %v", req, req)
	}
}

// Connect sends a connect request and returns the answer.
func (c *Conn) Connect(req *pb.ConnectRequest) *pb.ConnectResponse {
	c.t.Helper()
	var resp pb.ConnectResponse
	c.ask(Discover, req, &resp)
	return &resp
}

// Subscribe sends a subscription request and returns the answer.
func (c *Conn) Subscribe(req *pb.SubscriptionRequest) *pb.SubscriptionResponse {
	c.t.Helper()
	var resp pb.SubscriptionResponse
	c.ask(Subscribe, req, &resp)
	return &resp
}

// Ping sends a ping and returns the error in the answer.
func (c *Conn) Ping(connID string) string {
	c.t.Helper()
	var resp pb.PingResponse
	c.ask(Pings, &pb.Ping{ConnID: []byte(connID)}, &resp)
	return resp.Error
}

// CloseClient sends a close request and returns the error in the answer.
func (c *Conn) CloseClient(id string) string {
	c.t.Helper()
	var resp pb.CloseResponse
	c.ask(Close, &pb.CloseRequest{ClientID: id}, &resp)
	return resp.Error
}

// End sends a request to unsubscribe or to close a subscription, and returns the error in the answer.
func (c *Conn) End(subject string, req *pb.UnsubscribeRequest) string {
	c.t.Helper()
	var resp pb.SubscriptionResponse
	c.ask(subject, req, &resp)
	return resp.Error
}

// Publish sends a message to its channel's subject and returns the error in the answer.
func (c *Conn) Publish(m *pb.PubMsg) string {
	c.t.Helper()
	if m.Guid == "" {
		m.Guid = nuid.Next()
	}
	var ack pb.PubAck
	c.ask(Publish+"."+m.Subject, m, &ack)
	if ack.Guid != m.Guid {
		c.t.Errorf("PubAck has guid %q, want %q", ack.Guid, m.Guid)
	}
	return ack.Error
}

// Client is a registered client.
type Client struct {
	*Conn
	ID     string
	ConnID string
	HB     string // heartbeat inbox
	beats  *nats.Subscription
	// Beats receives a value for each heartbeat that was answered.
	Beats chan struct{}
}

// Register connects a client of protocol 1 that answers heartbeats.
func (c *Conn) Register(id string) *Client {
	c.t.Helper()
	cl := c.Prepare(id)
	if resp := c.Connect(cl.Request()); resp.Error != "" {
		c.t.Fatalf("connect %s: %s", id, resp.Error)
	}
	return cl
}

// Prepare returns a client that answers heartbeats but has not sent its connect request.
func (c *Conn) Prepare(id string) *Client {
	c.t.Helper()
	return c.PrepareOn(id, nats.NewInbox())
}

// PrepareOn is Prepare for a client that chose its heartbeat inbox.
func (c *Conn) PrepareOn(id, inbox string) *Client {
	c.t.Helper()
	cl := &Client{Conn: c, ID: id, ConnID: nuid.Next(), HB: inbox, Beats: make(chan struct{}, 1024)}
	var err error
	if cl.beats, err = c.Conn.Subscribe(cl.HB, func(m *nats.Msg) {
		_ = m.Respond(nil) // an error means a closed connection
		cl.Beats <- struct{}{}
	}); err != nil {
		c.t.Fatal(err)
	}
	c.flush()
	return cl
}

// Request returns the client's connect request.
func (cl *Client) Request() *pb.ConnectRequest {
	return &pb.ConnectRequest{ClientID: cl.ID, HeartbeatInbox: cl.HB, Protocol: 1, ConnID: []byte(cl.ConnID), PingInterval: 5, PingMaxOut: 3}
}

// Silence makes the client ignore heartbeats.
func (cl *Client) Silence() {
	cl.t.Helper()
	if err := cl.beats.Unsubscribe(); err != nil {
		cl.t.Fatal(err)
	}
	var err error
	if cl.beats, err = cl.Conn.Conn.Subscribe(cl.HB, func(*nats.Msg) {}); err != nil {
		cl.t.Fatal(err)
	}
	cl.flush()
}

// Leave ends the subscription to heartbeats, like a lost connection.
func (cl *Client) Leave() {
	cl.t.Helper()
	if err := cl.beats.Unsubscribe(); err != nil {
		cl.t.Fatal(err)
	}
	cl.flush()
}

func (c *Conn) flush() {
	c.t.Helper()
	if err := c.FlushTimeout(Patience); err != nil {
		c.t.Fatal(err)
	}
}

// Send publishes messages one after another and fails the test if one is refused.
func (cl *Client) Send(channel string, data ...string) {
	cl.t.Helper()
	for _, d := range data {
		if text := cl.Publish(&pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Subject: channel, Data: []byte(d)}); text != "" {
			cl.t.Fatalf("publish to %s: %s", channel, text)
		}
	}
}

// Fill publishes n messages.
func (cl *Client) Fill(channel string, n int) {
	cl.t.Helper()
	for i := range n {
		cl.Send(channel, fmt.Sprintf("m%d", i+1))
	}
}

// Bye closes the client and returns the error in the answer.
func (cl *Client) Bye() string {
	cl.t.Helper()
	return cl.CloseClient(cl.ID)
}

// Lines formats messages with Msg.String, separated by spaces.
func Lines(msgs []Msg) string {
	s := make([]string, len(msgs))
	for i, m := range msgs {
		s[i] = m.String()
	}
	return strings.Join(s, " ")
}
