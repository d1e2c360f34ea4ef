package conformance

import (
	"strings"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

func messageAsPublished(s *stage) {
	cl := s.client("a")
	sub := cl.Sub(s.id("c"))
	before := time.Now().UnixNano()
	last := int64(0)
	for i, m := range []*pb.PubMsg{
		{Data: []byte("data")},
		{},
		{Data: []byte{0, 0xff}, Reply: "reply to", Sha256: []byte("ignored")},
	} {
		m.ClientID, m.ConnID, m.Subject = cl.ID, []byte(cl.ConnID), s.id("c")
		if text := cl.Publish(m); text != "" {
			s.t.Fatal(text)
		}
		got := sub.Next()
		want := &pb.MsgProto{Sequence: uint64(i + 1), Subject: m.Subject, Reply: m.Reply, Data: m.Data, Timestamp: got.Timestamp}
		if got.MsgProto.String() != want.String() {
			s.t.Errorf("received %v, want %v", got.MsgProto, want)
		}
		if got.Timestamp < max(before, last) || got.Timestamp > time.Now().UnixNano() {
			s.t.Errorf("timestamp %d, want one between the request and now", got.Timestamp)
		}
		last = got.Timestamp
	}
}

func refusedTakesNoSequence(s *stage) {
	cl := s.client("a")
	sub := cl.Sub(s.id("c"))
	for range 3 {
		cl.Send(s.id("c"), "good")
		if got := cl.Publish(&pb.PubMsg{ClientID: s.id("unknown"), Subject: s.id("c")}); got == "" {
			s.t.Error("a message from an unknown client was accepted")
		}
	}
	sub.Expect(3, "1 2 3")
}

func noDeduplication(s *stage) {
	cl := s.client("a")
	sub := cl.Sub(s.id("c"))
	for range 2 {
		if text := cl.Publish(&pb.PubMsg{ClientID: cl.ID, Subject: s.id("c"), Guid: "same", Data: []byte("same")}); text != "" {
			s.t.Error(text)
		}
	}
	sub.Expect(2, "1 2")
}

func channelNames(s *stage) {
	cl := s.client("a")
	for _, name := range []string{"", ".", ".a", "a.", "a..b", "a/b", "a*b", "*", "a.*", ">", "a.>", "a>b", "a.b/"} {
		if _, got := cl.TrySub(name); got != "stan: invalid subject" {
			s.t.Errorf("subscribe to %q: %q", name, got)
		}
	}
	for _, name := range []string{"a", "a.b.c", "a-b_c", "ü", "日本", "a b", "A!\"#$%&'()+,:;=?@[]^`{|}~", strings.Repeat("x", 200)} {
		channel := s.id(name)
		sub, text := cl.TrySub(channel)
		if text != "" {
			s.t.Errorf("subscribe to %q: %q", channel, text)
			continue
		}
		if strings.Contains(name, " ") {
			continue // no NATS subject can carry the name
		}
		cl.Send(channel, "one")
		sub.Expect(1, "1")
	}
}

func letterCase(s *stage) {
	cl := s.client("a")
	cl.Send(s.id("Some.Channel"), "one")
	other := s.id("some.channel")
	want := `rejecting channel "` + other + `" because channel "` + s.id("Some.Channel") + `" alreay exists (different cases not allowed)`
	if got := cl.Publish(&pb.PubMsg{ClientID: cl.ID, Subject: other}); got != want {
		s.t.Errorf("publish: %q, want %q", got, want)
	}
	if _, got := cl.TrySub(other); got != want {
		s.t.Errorf("subscribe: %q, want %q", got, want)
	}
}

func refusedLeavesChannel(s *stage) {
	cl := s.client("a")
	if _, text := cl.TrySub(s.id("c"), wire.Durable("a:b"), wire.Queue("q")); text == "" {
		s.t.Fatal("the subscription was accepted")
	}
	s.server.WaitLog(s.t, `Channel "`+s.id("c")+`" has been created`)
	if got := cl.End(wire.Unsubscribe, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: s.id("c")}); got != "stan: invalid subscription" {
		s.t.Errorf("unsubscribe: %q, want an error of an existing channel", got)
	}
}

func startPositions(s *stage) {
	cl := s.client("a")
	channel := s.id("c")
	cl.Fill(channel, 4)
	marker := cl.Sub(channel, wire.Start(pb.StartPosition_LastReceived)).Next()
	fifth := time.Now().UnixNano()
	if fifth <= marker.Timestamp {
		s.t.Fatal("the clock did not advance")
	}
	cl.Fill(channel, 4)
	from := func(p pb.StartPosition, n uint64, delta time.Duration) wire.Option {
		return func(r *pb.SubscriptionRequest) {
			r.StartPosition, r.StartSequence, r.StartTimeDelta = p, n, int64(delta)
		}
	}
	subs := make(map[string]*wire.Sub)
	for name, opt := range map[string]wire.Option{
		"new":           from(pb.StartPosition_NewOnly, 3, time.Hour),
		"last":          from(pb.StartPosition_LastReceived, 3, 0),
		"first":         from(pb.StartPosition_First, 3, 0),
		"sequence 0":    from(pb.StartPosition_SequenceStart, 0, 0),
		"sequence 1":    from(pb.StartPosition_SequenceStart, 1, 0),
		"sequence 3":    from(pb.StartPosition_SequenceStart, 3, 0),
		"sequence 8":    from(pb.StartPosition_SequenceStart, 8, 0),
		"sequence 9":    from(pb.StartPosition_SequenceStart, 9, 0),
		"sequence 100":  from(pb.StartPosition_SequenceStart, 100, 0),
		"sequence max":  from(pb.StartPosition_SequenceStart, 1<<64-1, 0),
		"time all":      from(pb.StartPosition_TimeDeltaStart, 0, time.Hour),
		"time none":     from(pb.StartPosition_TimeDeltaStart, 0, 0),
		"time negative": from(pb.StartPosition_TimeDeltaStart, 0, -time.Hour),
	} {
		subs[name] = cl.Sub(channel, opt)
	}
	cl.Fill(channel, 1)
	for name, want := range map[string]uint64{
		"new": 9, "last": 8, "first": 1, "sequence 0": 1, "sequence 1": 1, "sequence 3": 3, "sequence 8": 8, "sequence 9": 9,
		"sequence 100": 9, "sequence max": 9, "time all": 1, "time none": 9, "time negative": 9,
	} {
		for seq := want; seq <= 9; seq++ {
			if got := subs[name].Next(); got.Sequence != seq || got.Redelivered {
				s.t.Errorf("%s: received %v, want %d", name, got, seq)
				break
			}
		}
	}
}

func startPositionsEmpty(s *stage) {
	cl := s.client("a")
	channel := s.id("c")
	var subs []*wire.Sub
	for p := pb.StartPosition_NewOnly; p <= pb.StartPosition_First; p++ {
		for _, n := range []uint64{0, 7} {
			subs = append(subs, cl.Sub(channel, func(r *pb.SubscriptionRequest) {
				r.StartPosition, r.StartSequence, r.StartTimeDelta = p, n, int64(n)
			}))
		}
	}
	cl.Fill(channel, 2)
	for _, sub := range subs {
		sub.Expect(2, "1 2")
	}
}

// wire.Client.Sub checks each time that the answer comes first.
func answerComesFirst(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 20)
	for range 20 {
		cl.Sub(s.id("c"), wire.All).Take(20)
	}
	durable := cl.Sub(s.id("c"), wire.All, wire.Durable("d"))
	for range 20 {
		durable.Take(20)
		if text := durable.Close(); text != "" {
			s.t.Fatal(text)
		}
		durable = cl.Sub(s.id("c"), wire.Durable("d"))
	}
}

func closeByDataInbox(s *stage) {
	cl := s.client("a")
	for _, subject := range []string{wire.SubClose, wire.Unsubscribe} {
		sub := cl.Sub(s.id("c"))
		req := &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: s.id("c"), Inbox: sub.Inbox}
		if got := cl.End(subject, req); got != "" {
			s.t.Errorf("%s by data inbox: %q", subject, got)
		}
		if got := sub.Close(); got != "stan: invalid subscription" {
			s.t.Errorf("%s by data inbox left the subscription: %q", subject, got)
		}
	}
}

func foreignInbox(s *stage) {
	cl := s.client("a")
	victim := cl.Sub(s.id("c"))
	intruder := s.client("b")
	if _, text := intruder.TrySub(s.id("c"), func(r *pb.SubscriptionRequest) { r.Inbox = victim.AckInbox }); !strings.Contains(text, "is not an inbox") {
		s.t.Errorf("subscribe: %q", text)
	}
	if got := victim.Close(); got != "" {
		s.t.Errorf("close: %q", got)
	}
	cl.Send(s.id("c"), "one")
	cl.Sub(s.id("c"), wire.All).Expect(1, "1")
	if victim.Waiting() != 0 {
		s.t.Error("a closed subscription received a message")
	}
}
