package conformance

import (
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// Client ID, channel and durable name form the key of a durable.
func durableKey(s *stage) {
	one, two := s.client("a"), s.client("b")
	subs := []*wire.Sub{
		one.Sub(s.id("c"), wire.Durable("d")),
		one.Sub(s.id("c"), wire.Durable("e")),
		one.Sub(s.id("c2"), wire.Durable("d")),
		two.Sub(s.id("c"), wire.Durable("d")),
		one.Sub(s.id("c"), wire.Durable("d"), wire.Queue("q")), // another kind of subscription
	}
	one.Send(s.id("c"), "one")
	one.Send(s.id("c2"), "one")
	for _, sub := range subs {
		sub.Expect(1, "1")
	}
}

func duplicateDurable(s *stage) {
	cl := s.client("a")
	sub := cl.Sub(s.id("c"), wire.Durable("d"))
	if _, got := cl.TrySub(s.id("c"), wire.Durable("d")); got != "stan: duplicate durable registration" {
		s.t.Errorf("second subscription: %q", got)
	}
	cl.Send(s.id("c"), "one")
	sub.Expect(1, "1")
}

func resume(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 3)
	sub := cl.Sub(s.id("c"), wire.All, wire.Durable("d"))
	sub.Expect(3, "1 2 3")
	sub.Ack(2)
	if text := sub.Close(); text != "" {
		s.t.Fatal(text)
	}
	cl.Fill(s.id("c"), 1)
	// The start position is ignored, but the new MaxInflight and AckWait apply. Two messages are in flight, so 4 waits
	// for an ack.
	resumed := cl.Sub(s.id("c"), wire.Start(pb.StartPosition_NewOnly), wire.Durable("d"), wire.Max(1), wire.AckWait(1))
	resumed.Expect(4, "1r1 3r1 1r2 3r2")
	resumed.Ack(3)
	resumed.Ack(1)
	resumed.Expect(1, "4")
	resumed.Expect(1, "4r1")
	if sub.Waiting() != 0 {
		s.t.Error("the closed subscription received a message")
	}
}

func unsubscribeStartsAnew(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 3)
	sub := cl.Sub(s.id("c"), wire.All, wire.Durable("d"))
	sub.Expect(3, "1 2 3")
	if text := sub.Unsubscribe(); text != "" {
		s.t.Fatal(text)
	}
	sub = cl.Sub(s.id("c"), wire.Durable("d"), func(r *pb.SubscriptionRequest) {
		r.StartPosition, r.StartSequence = pb.StartPosition_SequenceStart, 2
	})
	sub.Expect(2, "2 3")
}

func replaceDurable(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 2)
	sub := cl.Sub(s.id("c"), wire.All, wire.Durable("d"))
	sub.Expect(2, "1 2")
	sub.Ack(1)
	// A close request waits for acks that were sent before it; a replacement does not. So wait until the ack was
	// processed.
	s.flushAcks(cl)
	successor := cl.Sub(s.id("c"), wire.All, wire.Durable("d"))
	successor.Expect(1, "2r1")
	if got := sub.Close(); got != "stan: invalid subscription" {
		s.t.Errorf("close of the replaced subscription: %q", got)
	}
	cl.Fill(s.id("c"), 1)
	successor.Expect(1, "3")
	if sub.Waiting() != 0 {
		s.t.Error("the replaced subscription received a message")
	}
	// Members of a queue group are not duplicates.
	one := cl.Sub(s.id("c"), wire.Durable("d"), wire.Queue("q"))
	cl.Sub(s.id("c"), wire.Durable("d"), wire.Queue("q"))
	if got := one.Close(); got != "" {
		s.t.Errorf("close of a queue member: %q", got)
	}
}

// flushAcks returns when the server has processed all acks sent on the client's connection: closing a subscription waits
// for them.
func (s *stage) flushAcks(cl *wire.Client) {
	s.t.Helper()
	if text := cl.Sub(s.id("flush")).Close(); text != "" {
		s.t.Fatal(text)
	}
}
