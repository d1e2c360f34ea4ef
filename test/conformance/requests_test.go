package conformance

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// garbage is not a protobuf message: its field is truncated.
var garbage = []byte{0x0a, 0xff}

func subjects(s *stage) {
	cl := s.conn.Prepare(s.id("a"))
	got := s.conn.Connect(cl.Request())
	want := &pb.ConnectResponse{
		PubPrefix: wire.Publish, SubRequests: wire.Subscribe, UnsubRequests: wire.Unsubscribe, SubCloseRequests: wire.SubClose,
		CloseRequests: wire.Close, PingRequests: wire.Pings, PingInterval: 5, PingMaxOut: 3, Protocol: 1,
	}
	if got.String() != want.String() {
		s.t.Errorf("answer %v, want %v", got, want)
	}
	// Each subscription and each resume gets a new ack inbox.
	seen := make(map[string]bool)
	for range 2 {
		sub := cl.Sub(s.id("c"), wire.Durable("d"))
		if len(sub.AckInbox) <= len("_INBOX.") || sub.AckInbox[:7] != "_INBOX." || seen[sub.AckInbox] {
			s.t.Errorf("ack inbox %q, seen before: %v", sub.AckInbox, seen[sub.AckInbox])
		}
		seen[sub.AckInbox] = true
		if text := sub.Close(); text != "" {
			s.t.Error(text)
		}
	}
}

// expect sends a request and compares the error in the answer.
func (s *stage) expect(what, subject string, req []byte, resp wire.Message, text func() string, want string) {
	s.t.Helper()
	if !s.conn.Ask(subject, req, resp, wire.Patience) {
		s.t.Errorf("%s: no answer", what)
		return
	}
	if got := text(); got != want {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func unparsable(s *stage) {
	var connect pb.ConnectResponse
	var ack pb.PubAck
	var sub pb.SubscriptionResponse
	var closed pb.CloseResponse
	s.expect("connect", wire.Discover, garbage, &connect, func() string { return connect.Error }, "stan: invalid connection request")
	s.expect("publish", wire.Publish+".c", garbage, &ack, func() string { return ack.Error }, "stan: invalid publish request")
	s.expect("subscribe", wire.Subscribe, garbage, &sub, func() string { return sub.Error }, "stan: invalid subscription request")
	s.expect("unsubscribe", wire.Unsubscribe, garbage, &sub, func() string { return sub.Error }, "stan: invalid unsubscribe request")
	s.expect("sub-close", wire.SubClose, garbage, &sub, func() string { return sub.Error }, "stan: invalid unsubscribe request")
	s.expect("close", wire.Close, garbage, &closed, func() string { return closed.Error }, "stan: invalid close request")
}

func connectChecks(s *stage) {
	const badID = "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed"
	for _, it := range []struct{ id, inbox, want string }{
		{"", "", "stan: invalid connection request"},
		{"no good", "", "stan: invalid connection request"},
		{"", "inbox", badID},
		{"no good", "inbox", badID},
		{"no.good", "inbox", badID},
		{"né", "inbox", badID},
		{s.id("GOOD_1"), nats.NewInbox(), ""},
	} {
		if got := s.conn.Connect(&pb.ConnectRequest{ClientID: it.id, HeartbeatInbox: it.inbox}).Error; got != it.want {
			s.t.Errorf("client ID %q, inbox %q: %q, want %q", it.id, it.inbox, got, it.want)
		}
	}
}

// Each request has the mistake of its row and of all rows below.
func subscribeChecks(s *stage) {
	cl := s.client("a")
	active := cl.Sub(s.id("good"), wire.Durable("d"))
	req := &pb.SubscriptionRequest{StartPosition: 5}
	for _, it := range []struct {
		want string
		fix  func()
	}{
		{"stan: clientID missing", func() { req.ClientID = s.id("unknown") }},
		{"stan: invalid ack wait time, should be >= 1s", func() { req.AckWaitInSecs = 1 }},
		{"stan: invalid MaxInflight, should be >= 1", func() { req.MaxInFlight = 1 }},
		{"stan: invalid start position", func() { req.StartPosition = pb.StartPosition_First }},
		{"stan: invalid subject", func() { req.Subject = s.id("GOOD") }},
		{"stan: unknown clientID", func() { req.ClientID, req.DurableName, req.QGroup = cl.ID, "d:", "q" }},
		{`rejecting channel "` + s.id("GOOD") + `" because channel "` + s.id("good") + `" alreay exists (different cases not allowed)`,
			func() { req.Subject = s.id("good") }},
		{"stan: durable name of a durable queue subscriber can't contain the character ':'",
			func() { req.DurableName, req.QGroup = "d", "" }},
		{"stan: duplicate durable registration", func() { req.DurableName = "d:" }},
	} {
		if got := s.conn.Subscribe(req).Error; got != it.want {
			s.t.Errorf("%v: %q, want %q", req, got, it.want)
		}
		it.fix()
	}
	req.Inbox = nats.NewInbox()
	if got := s.conn.Subscribe(req); got.Error != "" || got.AckInbox == "" {
		s.t.Errorf("%v: %v, want an ack inbox", req, got)
	}
	for _, ackWait := range []int32{0, -1} {
		if got := s.conn.Subscribe(cl.NewRequest("c", wire.AckWait(ackWait))).Error; got != "stan: invalid ack wait time, should be >= 1s" {
			s.t.Errorf("ack wait %d: %q", ackWait, got)
		}
		if got := s.conn.Subscribe(cl.NewRequest("c", wire.Max(ackWait))).Error; got != "stan: invalid MaxInflight, should be >= 1" {
			s.t.Errorf("MaxInflight %d: %q", ackWait, got)
		}
	}
	if got := s.conn.Subscribe(cl.NewRequest("c", wire.Start(-1))).Error; got != "stan: invalid start position" {
		s.t.Errorf("start position -1: %q", got)
	}
	if text := active.Close(); text != "" {
		s.t.Error(text)
	}
}

func publishChecks(s *stage) {
	const invalid = "stan: invalid publish request"
	cl := s.client("a")
	channel := s.id("c")
	publish := func(subject string, m *pb.PubMsg) string {
		s.t.Helper()
		var ack pb.PubAck
		if !s.conn.Ask(wire.Publish+"."+subject, wire.Encode(s.t, m), &ack, wire.Patience) {
			return wire.Timeout
		}
		if ack.Guid != m.Guid {
			s.t.Errorf("PubAck of guid %q has guid %q", m.Guid, ack.Guid)
		}
		return ack.Error
	}
	for _, it := range []struct {
		what string
		m    *pb.PubMsg
		want string
	}{
		{"no guid", &pb.PubMsg{ClientID: cl.ID, Subject: channel}, invalid},
		{"no channel", &pb.PubMsg{ClientID: cl.ID, Guid: "g"}, invalid},
		{"bad channel", &pb.PubMsg{ClientID: cl.ID, Guid: "g", Subject: "a..b"}, invalid},
		{"unknown client", &pb.PubMsg{ClientID: s.id("unknown"), Guid: "g", Subject: channel}, invalid},
		{"unknown connection", &pb.PubMsg{ClientID: cl.ID, ConnID: []byte("other"), Guid: "g", Subject: channel}, invalid},
		{"client by ID", &pb.PubMsg{ClientID: cl.ID, Guid: "g", Subject: channel}, ""},
		{"client by connection alone", &pb.PubMsg{ClientID: "?", ConnID: []byte(cl.ConnID), Guid: "g", Subject: channel}, ""},
	} {
		if got := publish(channel, it.m); got != it.want {
			s.t.Errorf("%s: %q, want %q", it.what, got, it.want)
		}
	}
	// §17.2: NATS permissions apply to the NATS subject.
	if got := publish(s.id("other"), &pb.PubMsg{ClientID: cl.ID, Guid: "g", Subject: channel}); got != invalid+": channel differs from the NATS subject" {
		s.t.Errorf("publish on another channel's subject: %q", got)
	}
}

func endChecks(s *stage) {
	cl, other := s.client("a"), s.client("b")
	sub := cl.Sub(s.id("c"))
	for _, subject := range []string{wire.Unsubscribe, wire.SubClose} {
		for _, it := range []struct {
			id, channel, inbox, want string
		}{
			{"", s.id("none"), "", "stan: unknown channel"},
			{s.id("unknown"), s.id("c"), "none", "stan: invalid subscription"},
			{s.id("unknown"), s.id("c"), sub.AckInbox, "stan: unknown clientID"},
			{other.ID, s.id("c"), sub.AckInbox, "stan: unknown clientID"},
		} {
			req := &pb.UnsubscribeRequest{ClientID: it.id, Subject: it.channel, Inbox: it.inbox}
			if got := s.conn.End(subject, req); got != it.want {
				s.t.Errorf("%s %v: %q, want %q", subject, req, got, it.want)
			}
		}
	}
	if text := sub.Unsubscribe(); text != "" {
		s.t.Error(text)
	}
	if got := sub.Unsubscribe(); got != "stan: invalid subscription" {
		s.t.Errorf("unsubscribed twice: %q", got)
	}
	if got := s.conn.CloseClient(s.id("unknown")); got != "stan: unknown clientID" {
		s.t.Errorf("close of an unknown client: %q", got)
	}
}

func noReply(s *stage) {
	cl := s.client("a")
	// A client that did not get the answer to its subscribe request takes it back so. It does not listen to the inbox any more.
	req := cl.NewRequest(s.id("c"))
	sub := &wire.Sub{Client: cl, Channel: req.Subject, Inbox: req.Inbox, AckInbox: cl.Subscribe(req).AckInbox}
	for subject, req := range map[string]wire.Message{
		wire.Discover:  &pb.ConnectRequest{},
		wire.Subscribe: &pb.SubscriptionRequest{},
		wire.Close:     &pb.CloseRequest{},
		wire.SubClose:  &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: sub.Channel, Inbox: sub.Inbox},
		wire.Pings:     &pb.Ping{ConnID: []byte("x")},
	} {
		if err := cl.Conn.Conn.Publish(subject, wire.Encode(s.t, req)); err != nil {
			s.t.Fatal(err)
		}
	}
	// The close took effect: requests of one connection to one subject are handled in order.
	if got := sub.Close(); got != "stan: invalid subscription" {
		s.t.Errorf("closed twice: %q", got)
	}
	// Pings without payload and unreadable pings get no answer, so this wait is the test.
	for _, data := range [][]byte{nil, garbage} {
		if cl.Ask(wire.Pings, data, &pb.PingResponse{}, 200*time.Millisecond) {
			s.t.Errorf("ping %v was answered", data)
		}
	}
}
