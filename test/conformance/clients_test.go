package conformance

import (
	"bytes"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

const registered = "stan: clientID already registered"

func protocolZero(s *stage) {
	cl := s.conn.Prepare(s.id("a"))
	cl.ConnID = ""
	resp := s.conn.Connect(&pb.ConnectRequest{ClientID: cl.ID, HeartbeatInbox: cl.HB, PingInterval: 5, PingMaxOut: 3})
	if resp.Error != "" || resp.Protocol != 1 || resp.PingRequests != "" || resp.PingInterval != 0 || resp.PingMaxOut != 0 {
		s.t.Errorf("answer %v, want protocol 1 and nothing about pings", resp)
	}
	sub := cl.Sub(s.id("c"), wire.All)
	cl.Fill(s.id("c"), 2)
	sub.Expect(2, "1 2")
	if text := cl.Bye(); text != "" {
		s.t.Error(text)
	}
	if got := cl.Publish(&pb.PubMsg{ClientID: cl.ID, Subject: s.id("c")}); got != "stan: invalid publish request" {
		s.t.Errorf("publish of a closed client: %q", got)
	}
}

// bareInboxes is a client whose inboxes are one random token, as those of the libraries for Python and Ruby.
func bareInboxes(s *stage) {
	cl := s.conn.PrepareOn(s.id("a"), "7bd27db72f"+fmt.Sprintf("%012x", time.Now().UnixNano()&0xffffffffffff))
	if resp := s.conn.Connect(cl.Request()); resp.Error != "" {
		s.t.Fatal(resp.Error)
	}
	if got := s.conn.Connect(s.conn.Prepare(cl.ID).Request()).Error; got != registered {
		s.t.Errorf("duplicate of a client whose heartbeats arrive: %q", got)
	}
	sub := cl.Sub(s.id("c"), wire.All, func(r *pb.SubscriptionRequest) { r.Inbox = cl.HB + "a1b2" })
	cl.Fill(s.id("c"), 2)
	sub.Expect(2, "1 2")
	if text := sub.Close(); text != "" {
		s.t.Error(text)
	}
	if text := cl.Bye(); text != "" {
		s.t.Error(text)
	}
}

func pingValues(s *stage) {
	for _, v := range []int32{0, -1, -250, 1 << 30} {
		resp := s.conn.Connect(&pb.ConnectRequest{ClientID: s.id(nuid.Next()), HeartbeatInbox: nats.NewInbox(), Protocol: 1, PingInterval: v, PingMaxOut: v})
		if resp.Error != "" || resp.PingInterval != v || resp.PingMaxOut != v || resp.PingRequests != wire.Pings {
			s.t.Errorf("ping values %d: %v", v, resp)
		}
	}
	resp := s.conn.Connect(&pb.ConnectRequest{ClientID: s.id("two"), HeartbeatInbox: nats.NewInbox(), Protocol: 2})
	if resp.Error != "" || resp.Protocol != 1 {
		s.t.Errorf("protocol 2: %v", resp)
	}
}

func duplicateOfLiving(s *stage) {
	cl := s.client("a")
	if got := s.conn.Connect(s.conn.Prepare(cl.ID).Request()).Error; got != registered {
		s.t.Errorf("duplicate: %q, want %q", got, registered)
	}
	cl.Send(s.id("c"), "the first one continues")
}

func silentIsReplaced(s *stage) {
	old := s.client("a")
	sub := old.Sub(s.id("c"), wire.Durable("d"))
	old.Silence()
	begin := time.Now()
	successor := wire.Dial(s.t, s.server.URL()).Register(old.ID)
	if took := time.Since(begin); took < 400*time.Millisecond {
		s.t.Errorf("replaced after %v, want the 500 ms that the old client may take to answer", took)
	}
	s.replaced(old, sub, successor)
}

func goneIsReplaced(s *stage) {
	old := s.client("a")
	sub := old.Sub(s.id("c"), wire.Durable("d"))
	old.Leave()
	s.replaced(old, sub, wire.Dial(s.t, s.server.URL()).Register(old.ID))
}

// replaced checks that the old client is closed and that the successor inherits its durable.
func (s *stage) replaced(old *wire.Client, sub *wire.Sub, successor *wire.Client) {
	s.t.Helper()
	const text = "client has been replaced or is no longer registered"
	if got := s.conn.Ping(old.ConnID); got != text {
		s.t.Errorf("ping of the old client: %q, want %q", got, text)
	}
	if got := s.conn.Ping(successor.ConnID); got != "" {
		s.t.Errorf("ping of the new client: %q", got)
	}
	if got := old.Publish(&pb.PubMsg{ClientID: old.ID, ConnID: []byte(old.ConnID), Subject: sub.Channel}); got != "stan: invalid publish request" {
		s.t.Errorf("publish of the old client: %q", got)
	}
	successor.Send(sub.Channel, "one")
	if got := sub.Waiting(); got != 0 {
		s.t.Errorf("the old client received %d messages", got)
	}
	successor.Sub(sub.Channel, wire.Durable("d")).Expect(1, "1")
}

func oneDuplicateCheck(s *stage) {
	old := s.client("a")
	old.Silence()
	// The first check takes 500 ms. The second request follows immediately.
	first := nats.NewInbox()
	answer, err := s.conn.SubscribeSync(first)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.conn.PublishRequest(wire.Discover, first, wire.Encode(s.t, s.conn.Prepare(old.ID).Request())); err != nil {
		s.t.Fatal(err)
	}
	if got := s.conn.Connect(s.conn.Prepare(old.ID).Request()).Error; got != registered {
		s.t.Errorf("second request: %q, want %q", got, registered)
	}
	if n, _, err := answer.Pending(); err != nil || n != 0 {
		s.t.Errorf("the second request was answered after the first one (%v)", err)
	}
	msg, err := answer.NextMsg(wire.Patience)
	if err != nil {
		s.t.Fatal(err)
	}
	var resp pb.ConnectResponse
	if err := resp.Unmarshal(msg.Data); err != nil || resp.Error != "" {
		s.t.Errorf("first request: %v, %v", resp.Error, err)
	}
}

func replacedClient(s *stage) {
	old := wire.Dial(s.t, s.server.URL()).Register(s.id("a"))
	durable := old.Sub(s.id("c"), wire.Durable("d"))
	old.Leave()
	successor := wire.Dial(s.t, s.server.URL()).Register(old.ID)
	taken := successor.Sub(s.id("c"), wire.Durable("d"))
	// The old client still sends requests, with its ID, over its old connection.
	refused := fmt.Sprintf("stan: permissions violation: the request does not come from client %q", old.ID)
	if got := old.Bye(); got != refused {
		s.t.Errorf("close: %q, want %q", got, refused)
	}
	if got := old.Subscribe(old.NewRequest(s.id("c"), wire.Durable("other"))).Error; got != refused {
		s.t.Errorf("subscribe to a durable: %q, want %q", got, refused)
	}
	if got := old.Sub(s.id("c")).Unsubscribe(); got != "" {
		s.t.Errorf("unsubscribe of its own subscription: %q", got)
	}
	if got := durable.Unsubscribe(); got != "stan: invalid subscription" {
		s.t.Errorf("unsubscribe: %q", got)
	}
	if got := old.End(wire.SubClose, &pb.UnsubscribeRequest{ClientID: old.ID, Subject: s.id("c"), Inbox: durable.Inbox}); got != "stan: invalid subscription" {
		s.t.Errorf("close by data inbox: %q", got)
	}
	successor.Send(s.id("c"), "one")
	taken.Expect(1, "1")

	// So does anybody else.
	if got := s.conn.CloseClient(successor.ID); got != refused {
		s.t.Errorf("close of the successor: %q, want %q", got, refused)
	}
	if got := successor.Bye(); got != "" {
		s.t.Errorf("close: %q", got)
	}
}

func pings(s *stage) {
	cl := s.client("a")
	var resp bytes.Buffer
	msg, err := cl.Conn.Request(wire.Pings, wire.Encode(s.t, &pb.Ping{ConnID: []byte(cl.ConnID)}), wire.Patience)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.Write(msg.Data); resp.Len() != 0 {
		s.t.Errorf("ping: %q, want an empty answer", resp.Bytes())
	}
	const replaced = "client has been replaced or is no longer registered"
	if got := s.conn.Ping("other"); got != replaced {
		s.t.Errorf("ping of an unknown connection: %q, want %q", got, replaced)
	}
	if text := cl.Bye(); text != "" {
		s.t.Error(text)
	}
	if got := s.conn.Ping(cl.ConnID); got != replaced {
		s.t.Errorf("ping of a closed client: %q, want %q", got, replaced)
	}
}

// beat waits for n heartbeats.
func (s *stage) beat(cl *wire.Client, n int) {
	s.t.Helper()
	for range n {
		select {
		case <-cl.Beats:
		case <-time.After(wire.Patience):
			s.t.Fatal("no heartbeat arrived")
		}
	}
}

func heartbeats(s *stage) {
	begin := time.Now()
	cl := s.client("a")
	s.beat(cl, 1)
	if took := time.Since(begin); took < 200*time.Millisecond {
		s.t.Errorf("first heartbeat after %v, want 200 ms", took)
	}
	s.beat(cl, 9)
	cl.Send(s.id("c"), "it lives")
}

func silentIsClosed(s *stage) {
	for name, it := range map[string]struct {
		end func(*wire.Client)
		min time.Duration
	}{
		"silent": {(*wire.Client).Silence, 2500 * time.Millisecond},
		"gone":   {(*wire.Client).Leave, 1100 * time.Millisecond},
	} {
		cl := s.client(name)
		sub := cl.Sub(s.id(name), wire.Durable("d"))
		it.end(cl)
		begin := time.Now()
		s.server.WaitLog(s.t, "[Client:"+cl.ID+"] Timed out on heartbeats")
		if took := time.Since(begin); took < it.min {
			s.t.Errorf("%s client was closed after %v, want %v at least", name, took, it.min)
		}
		// The server logs the line before it closes the client; a connect request waits for the close.
		successor := s.conn.Register(cl.ID)
		successor.Send(sub.Channel, "one")
		if sub.Waiting() != 0 {
			s.t.Errorf("%s client received a message after it was closed", name)
		}
		successor.Sub(sub.Channel, wire.Durable("d")).Expect(1, "1")
	}
}

func pingAsksForBeat(s *stage) {
	cl := s.client("a")
	cl.Silence()
	received, err := cl.SubscribeSync(cl.HB)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := received.NextMsg(wire.Patience); err != nil {
		s.t.Fatalf("no heartbeat arrived: %v", err)
	}
	// The heartbeat fails after 100 ms. The next regular one is due after 10 s.
	for deadline := time.Now().Add(8 * time.Second); ; {
		if got := s.conn.Ping(cl.ConnID); got != "" {
			s.t.Errorf("ping: %q", got)
		}
		if _, err := received.NextMsg(100 * time.Millisecond); err == nil {
			break
		}
		if time.Now().After(deadline) {
			s.t.Fatal("pings after a failed heartbeat did not cause a heartbeat")
		}
	}
}

func failingClient(s *stage) {
	cl := s.client("a")
	sub := cl.Sub(s.id("c"), wire.AckWait(2), wire.Max(10))
	cl.Fill(s.id("c"), 1)
	sub.Expect(1, "1")
	cl.Silence()
	publisher := s.client("b")
	s.server.WaitLog(s.t, "[Client:"+cl.ID+"] Timed out on heartbeats") // after 2.8 s; the ack timed out after 2 s
	if n := sub.Waiting(); n != 0 {
		s.t.Errorf("%d redeliveries to a client whose heartbeats fail", n)
	}
	// A client that has missed only a few heartbeats receives new messages.
	slow := s.client("slow")
	in := slow.Sub(s.id("d"))
	slow.Silence()
	beats, err := slow.SubscribeSync(slow.HB)
	if err != nil {
		s.t.Fatal(err)
	}
	for range 2 {
		if _, err := beats.NextMsg(wire.Patience); err != nil {
			s.t.Fatal(err)
		}
	}
	publisher.Send(s.id("d"), "one")
	in.Expect(1, "1")
}
