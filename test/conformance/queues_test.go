package conformance

import (
	"slices"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

func firstMembersPosition(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 3)
	first := cl.Sub(s.id("c"), wire.Queue("q"), func(r *pb.SubscriptionRequest) {
		r.StartPosition, r.StartSequence = pb.StartPosition_SequenceStart, 2
	})
	first.Expect(2, "2 3")
	second := cl.Sub(s.id("c"), wire.Queue("q"), wire.All)
	cl.Fill(s.id("c"), 1)
	second.Expect(1, "4") // it has the fewest unacked messages
}

func fewestUnacked(s *stage) {
	cl := s.client("a")
	one, two, three := cl.Sub(s.id("c"), wire.Queue("q")), cl.Sub(s.id("c"), wire.Queue("q")), cl.Sub(s.id("c"), wire.Queue("q"))
	cl.Fill(s.id("c"), 6)
	one.Expect(2, "1 4")
	two.Expect(2, "2 5")
	three.Expect(2, "3 6")
	two.Ack(2, 5)
	s.flushAcks(cl)
	cl.Fill(s.id("c"), 2)
	two.Expect(2, "7 8")
}

func stalledMembers(s *stage) {
	cl := s.client("a")
	one, two := cl.Sub(s.id("c"), wire.Queue("q"), wire.Max(1)), cl.Sub(s.id("c"), wire.Queue("q"), wire.Max(3))
	cl.Fill(s.id("c"), 6)
	one.Expect(1, "1")
	two.Expect(3, "2 3 4")
	one.Ack(1)
	one.Expect(1, "5")
	two.Ack(3)
	two.Expect(1, "6")
	if one.Waiting()+two.Waiting() != 0 {
		s.t.Error("more than MaxInflight messages arrived")
	}
}

func ackByAnotherMember(s *stage) {
	cl := s.client("a")
	one, two := cl.Sub(s.id("c"), wire.Queue("q"), wire.Max(1)), cl.Sub(s.id("c"), wire.Queue("q"), wire.Max(1))
	cl.Fill(s.id("c"), 3)
	one.Expect(1, "1")
	two.Expect(1, "2")
	two.Ack(1)
	one.Expect(1, "3")
}

func redeliveryToAnother(s *stage) {
	cl := s.client("a")
	one := cl.Sub(s.id("c"), wire.Queue("q"), wire.AckWait(1))
	cl.Fill(s.id("c"), 2)
	one.Expect(2, "1 2")
	two := cl.Sub(s.id("c"), wire.Queue("q"), wire.AckWait(60))
	// When both messages are due, the second member has fewer unacked ones. For the second message both are equal, and
	// the first member is next in turn.
	two.Expect(1, "1r1")
	one.Expect(1, "2r1")
	two.Ack(1)
	one.Ack(2)
	s.flushAcks(cl)
	if one.Waiting()+two.Waiting() != 0 {
		s.t.Error("a message was delivered twice")
	}
}

func leaversMessages(s *stage) {
	for name, leave := range map[string]func(*wire.Sub) string{
		"close":       (*wire.Sub).Close,
		"unsubscribe": (*wire.Sub).Unsubscribe,
		"bye":         func(sub *wire.Sub) string { return sub.Client.Bye() },
	} {
		stays, leaver := s.client(name), s.client(name+"-leaver")
		channel := s.id(name)
		gone := leaver.Sub(channel, wire.Queue("q"))
		stays.Fill(channel, 4)
		gone.Expect(4, "1 2 3 4")
		one, two := stays.Sub(channel, wire.Queue("q"), wire.Max(1)), stays.Sub(channel, wire.Queue("q"), wire.Max(1))
		if text := leave(gone); text != "" {
			s.t.Fatal(text)
		}
		var got []uint64
		for _, m := range append(one.Take(2), two.Take(2)...) {
			if m.RedeliveryCount != 1 {
				s.t.Errorf("%s: received %v, want redelivery 1", name, m)
			}
			got = append(got, m.Sequence)
		}
		if slices.Sort(got); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
			s.t.Errorf("%s: remaining members received %v", name, got)
		}
	}
}

func lifeOfGroups(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 2)
	for _, it := range []struct {
		name string
		opts []wire.Option
		end  func(*wire.Sub) string
		want string // what the next member receives first
	}{
		{"q1", nil, (*wire.Sub).Close, "1"},
		{"q2", nil, (*wire.Sub).Unsubscribe, "1"},
		{"q3", []wire.Option{wire.Durable("d")}, (*wire.Sub).Close, "2r1"},
		{"q4", []wire.Option{wire.Durable("d")}, (*wire.Sub).Unsubscribe, "1"},
	} {
		opts := append(it.opts, wire.Queue(it.name), wire.All)
		sub := cl.Sub(s.id("c"), opts...)
		sub.Expect(2, "1 2")
		sub.Ack(1)
		if text := it.end(sub); text != "" {
			s.t.Fatal(text)
		}
		if got := s.client(it.name).Sub(s.id("c"), opts...).Next().String(); got != it.want {
			s.t.Errorf("%s: the next member received %s, want %s", it.name, got, it.want)
		}
	}
	// Unsubscribing a member other than the last keeps the durable group.
	opts := []wire.Option{wire.Durable("d"), wire.Queue("q5"), wire.All}
	one := cl.Sub(s.id("c"), opts...)
	one.Expect(2, "1 2")
	two := cl.Sub(s.id("c"), opts...)
	if text := one.Unsubscribe(); text != "" {
		s.t.Fatal(text)
	}
	two.Expect(2, "1r1 2r1")
	if text := two.Close(); text != "" {
		s.t.Fatal(text)
	}
	cl.Fill(s.id("c"), 1)
	cl.Sub(s.id("c"), opts...).Expect(3, "1r2 2r2 3")
}

func compoundName(s *stage) {
	cl := s.client("a")
	durable := cl.Sub(s.id("c"), wire.Durable("d"), wire.Queue("q"))
	joined := cl.Sub(s.id("c"), wire.Queue("d:q"))
	plain := cl.Sub(s.id("c"), wire.Queue("q"))
	cl.Fill(s.id("c"), 2)
	durable.Expect(1, "1")
	joined.Expect(1, "2")
	plain.Expect(2, "1 2")
	// The group is durable no matter which member joins first or leaves last.
	for i, order := range [][2][]wire.Option{
		{{wire.Durable("d"), wire.Queue("q")}, {wire.Queue("d:q")}},
		{{wire.Queue("d:q")}, {wire.Durable("d"), wire.Queue("q")}},
	} {
		channel := s.id("order" + string(rune('0'+i)))
		subs := []*wire.Sub{cl.Sub(channel, order[0]...), cl.Sub(channel, order[1]...)}
		cl.Fill(channel, 2)
		subs[0].Expect(1, "1")
		subs[1].Expect(1, "2")
		subs[0].Ack(1)
		for _, sub := range subs {
			if text := sub.Close(); text != "" {
				s.t.Fatal(text)
			}
		}
		resumed := cl.Sub(channel, wire.Durable("d"), wire.Queue("q"), wire.All)
		if m := resumed.Next(); m.Sequence != 2 || !m.Redelivered {
			s.t.Errorf("order %d: received %v, want a redelivery of 2", i, m)
		}
	}
}

func failingMember(s *stage) {
	good, bad := s.client("good"), s.client("bad")
	one, two := bad.Sub(s.id("c"), wire.Queue("q")), good.Sub(s.id("c"), wire.Queue("q"))
	bad.Silence()
	beats, err := bad.SubscribeSync(bad.HB)
	if err != nil {
		s.t.Fatal(err)
	}
	for range 2 { // when the second one arrives, the first one has failed
		if _, err := beats.NextMsg(wire.Patience); err != nil {
			s.t.Fatal(err)
		}
	}
	good.Fill(s.id("c"), 4)
	two.Expect(4, "1 2 3 4")
	if one.Waiting() != 0 {
		s.t.Error("a member whose heartbeats fail received a message")
	}
}
