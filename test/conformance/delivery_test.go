package conformance

import (
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

func redelivery(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 3)
	sub := cl.Sub(s.id("c"), wire.All, wire.Max(2), wire.AckWait(1))
	begin := time.Now()
	sub.Expect(6, "1 2 1r1 2r1 1r2 2r2")
	if took := time.Since(begin); took < 1900*time.Millisecond || took > 30*time.Second {
		s.t.Errorf("two rounds of redelivery took %v, want 2 s", took)
	}
	if sub.Waiting() != 0 {
		s.t.Error("more than MaxInflight messages arrived without an ack")
	}
	sub.Ack(1)
	sub.Expect(1, "3")
}

func acksInAnyOrder(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 6)
	sub := cl.Sub(s.id("c"), wire.All, wire.Max(3), wire.AckWait(1))
	sub.Expect(3, "1 2 3")
	sub.Ack(3, 3, 99, 0) // some twice, some never sent
	sub.Expect(1, "4")
	sub.Ack(1)
	sub.Expect(1, "5")
	sub.Expect(3, "2r1 4r1 5r1")
	sub.Ack(2, 4)
	sub.Expect(1, "6")
	sub.Ack(6)
	sub.Expect(1, "5r2")
}

func ackOfAnotherChannel(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 2)
	sub := cl.Sub(s.id("c"), wire.All, wire.Max(1), wire.AckWait(1))
	sub.Expect(1, "1")
	if err := cl.Conn.Conn.Publish(sub.AckInbox, wire.Encode(s.t, &pb.Ack{Subject: s.id("other"), Sequence: 1})); err != nil {
		s.t.Fatal(err)
	}
	sub.Expect(1, "1r1")
	sub.Ack(1)
	sub.Expect(1, "2")
}

// Messages that were sent at different times are redelivered in that order, without bunching.
func expiryOrder(s *stage) {
	cl := s.client("a")
	sub := cl.Sub(s.id("c"), wire.AckWait(1))
	cl.Fill(s.id("c"), 1)
	sub.Expect(1, "1")
	<-time.After(300 * time.Millisecond) // separates the two messages; nothing waits for it
	cl.Fill(s.id("c"), 1)
	sub.Expect(1, "2")
	// A busy machine may receive both at once in some rounds.
	const rounds = 5
	for range rounds {
		one, two := sub.Next(), sub.Next()
		if one.Sequence != 1 || two.Sequence != 2 {
			s.t.Fatalf("received %v %v, want 1 2", one, two)
		}
		if two.At.Sub(one.At) > 150*time.Millisecond {
			return
		}
	}
	s.t.Errorf("2 followed 1 at once in %d rounds, want 300 ms between them", rounds)
}

func redeliveryCount(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 1)
	options := []wire.Option{wire.All, wire.Durable("d"), wire.AckWait(1)}
	sub := cl.Sub(s.id("c"), options...)
	sub.Expect(3, "1 1r1 1r2")
	if text := sub.Close(); text != "" {
		s.t.Fatal(text)
	}
	// Closing and resuming does not reset the count.
	sub = cl.Sub(s.id("c"), options...)
	sub.Expect(2, "1r3 1r4")
	// The other subscription has its own count.
	cl.Sub(s.id("c"), wire.All, wire.AckWait(1)).Expect(2, "1 1r1")
}

func closeRequest(s *stage) {
	cl := s.client("a")
	plain, durable := cl.Sub(s.id("c")), cl.Sub(s.id("c"), wire.Durable("d"))
	queue := cl.Sub(s.id("c"), wire.Queue("q"))
	if text := cl.Bye(); text != "" {
		s.t.Fatal(text)
	}
	if got := cl.Bye(); got != "stan: unknown clientID" {
		s.t.Errorf("closed twice: %q", got)
	}
	for _, sub := range []*wire.Sub{plain, durable, queue} {
		if got := sub.Close(); got != "stan: invalid subscription" {
			s.t.Errorf("subscription of a closed client: %q", got)
		}
	}
	cl = s.client("a")
	cl.Send(s.id("c"), "one")
	cl.Sub(s.id("c"), wire.Durable("d")).Expect(1, "1")
	for _, sub := range []*wire.Sub{plain, durable, queue} {
		if sub.Waiting() != 0 {
			s.t.Error("a subscription of a closed client received a message")
		}
	}
}

func acksBeforeTheEnd(s *stage) {
	cl := s.client("a")
	const n = 100
	for name, end := range map[string]func(*wire.Sub) string{
		"sub":    (*wire.Sub).Close,
		"client": func(sub *wire.Sub) string { return sub.Client.Bye() },
	} {
		channel, owner := s.id(name+"-channel"), s.client(name)
		cl.Fill(channel, n)
		sub := owner.Sub(channel, wire.All, wire.Durable(name))
		for _, m := range sub.Take(n) {
			sub.Ack(m.Sequence)
		}
		if text := end(sub); text != "" {
			s.t.Fatal(text)
		}
		if name == "client" {
			owner = s.client(name)
		}
		cl.Send(channel, "after the end")
		resumed := owner.Sub(channel, wire.Durable(name))
		if m := resumed.Next(); m.Redelivered {
			s.t.Errorf("%s: %v was acknowledged before the end but redelivered", name, m)
		}
	}
}

// messageBeforeItsAck checks that a client that publishes to a channel to which it subscribes gets each message before its PubAck.
func messageBeforeItsAck(s *stage) {
	cl := s.client("a")
	in := make(chan *nats.Msg, 1024)
	reply := "_STAN.acks." + s.id("acks")
	for kind, opts := range map[string][]wire.Option{"plain": nil, "durable": {wire.Durable("d")}, "queue": {wire.Queue("q")}} {
		req := cl.NewRequest(s.id(kind), append(opts, wire.Max(1<<20))...)
		for _, subject := range []string{req.Inbox, reply + kind} {
			if _, err := cl.ChanSubscribe(subject, in); err != nil { // one Go channel shows the order
				s.t.Fatal(err)
			}
		}
		if text := cl.Subscribe(req).Error; text != "" {
			s.t.Fatal(text)
		}
		for i := range 500 {
			m := &pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Guid: "g", Subject: req.Subject}
			if err := cl.PublishRequest(wire.Publish+"."+m.Subject, reply+kind, wire.Encode(s.t, m)); err != nil {
				s.t.Fatal(err)
			}
			for _, want := range []string{req.Inbox, reply + kind} {
				select {
				case got := <-in:
					if got.Subject != want {
						s.t.Fatalf("%s, publish %d: a message on %s arrived, want one on %s first", kind, i, got.Subject, want)
					}
				case <-time.After(wire.Patience):
					s.t.Fatalf("%s, publish %d: nothing arrived on %s", kind, i, want)
				}
			}
		}
	}
}

func publishesBeforeTheClose(s *stage) {
	cl := s.client("a")
	reply := "_STAN.acks." + s.id("acks")
	acks, err := s.conn.SubscribeSync(reply)
	if err != nil {
		s.t.Fatal(err)
	}
	const n = 200
	for range n {
		m := &pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Guid: "g", Subject: s.id("c")}
		if err := cl.PublishRequest(wire.Publish+"."+m.Subject, reply, wire.Encode(s.t, m)); err != nil {
			s.t.Fatal(err)
		}
	}
	if text := cl.Bye(); text != "" {
		s.t.Error(text)
	}
	// Every publish was answered before the close.
	for i := range n {
		msg, err := acks.NextMsg(wire.Patience)
		if err != nil {
			s.t.Fatalf("PubAck %d: %v", i, err)
		}
		var ack pb.PubAck
		if err := ack.Unmarshal(msg.Data); err != nil || ack.Error != "" {
			s.t.Fatalf("PubAck %d: %v %v", i, ack.Error, err)
		}
	}
}
