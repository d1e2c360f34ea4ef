package conformance

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// restarted stops and restarts the server, and returns when the connection is back.
func (s *stage) restarted() {
	s.t.Helper()
	back := make(chan struct{}, 1)
	s.conn.SetReconnectHandler(func(*nats.Conn) { back <- struct{}{} })
	s.server.Stop()
	s.server.Restart()
	select {
	case <-back:
	case <-time.After(wire.Patience):
		s.t.Fatal("the connection was not restored")
	}
}

func restart(s *stage) {
	cl := s.client("a")
	cl.Fill(s.id("c"), 3)
	plain := cl.Sub(s.id("c"), wire.All, wire.AckWait(2))
	durable := cl.Sub(s.id("c"), wire.All, wire.Durable("d"), wire.AckWait(2), wire.Max(2))
	offline := cl.Sub(s.id("c"), wire.All, wire.Durable("e"))
	plain.Expect(3, "1 2 3")
	durable.Expect(2, "1 2")
	offline.Expect(3, "1 2 3")
	offline.Ack(1)
	if text := offline.Close(); text != "" {
		s.t.Fatal(text)
	}
	plain.Ack(1)
	s.flushAcks(cl)
	s.restarted()

	// Applications continue. Unacknowledged messages are redelivered on time, counted from 1, before new ones.
	if got := s.conn.Ping(cl.ConnID); got != "" {
		s.t.Errorf("ping after the restart: %q", got)
	}
	plain.Expect(2, "2r1 3r1")
	durable.Expect(2, "1r1 2r1")
	plain.Ack(2, 3)
	durable.Ack(1, 2)
	cl.Fill(s.id("c"), 1)
	plain.Expect(1, "4")
	durable.Expect(2, "3 4")
	resumed := cl.Sub(s.id("c"), wire.Durable("e"))
	resumed.Expect(3, "2r1 3r1 4")
	if text := plain.Unsubscribe(); text != "" {
		s.t.Error(text)
	}
	if _, got := cl.TrySub(s.id("c"), wire.Durable("d")); got != "stan: duplicate durable registration" {
		s.t.Errorf("durable active since before the restart: %q", got)
	}
}

func restartSameMembers(s *stage) {
	one, two := s.client("a"), s.client("b")
	options := []wire.Option{wire.All, wire.Queue("q"), wire.AckWait(2)}
	subs := []*wire.Sub{one.Sub(s.id("c"), options...), two.Sub(s.id("c"), options...)}
	one.Fill(s.id("c"), 10)
	had := make([][]uint64, 2)
	for i, sub := range subs {
		for _, m := range sub.Take(5) {
			had[i] = append(had[i], m.Sequence)
		}
	}
	s.flushAcks(one)
	// Stay down longer than AckWait, so that all messages are due at the start.
	s.server.Stop()
	<-time.After(2 * time.Second)
	s.server.Restart()
	for i, sub := range subs {
		var got []uint64
		for _, m := range sub.Take(5) {
			if m.RedeliveryCount != 1 {
				s.t.Errorf("message %v, want redelivery 1", m)
			}
			got = append(got, m.Sequence)
		}
		if !slices.Equal(got, had[i]) {
			s.t.Errorf("member %d received redeliveries %v, want those that it held: %v", i, got, had[i])
		}
	}
}

// The group's position is that of the member that received the most, even after it has left.
func restartAfterLeave(s *stage) {
	one, two := s.client("a"), s.client("b")
	stays := one.Sub(s.id("c"), wire.Queue("q"), wire.Durable("d"))
	leaves := two.Sub(s.id("c"), wire.Queue("q"), wire.Durable("d"))
	one.Fill(s.id("c"), 1)
	stays.Expect(1, "1")
	stays.Ack(1)
	s.flushAcks(one)
	// Suspending a durable stores what everyone has received, so message 1 is on record for the remaining member.
	if text := one.Sub(s.id("c"), wire.Durable("d")).Close(); text != "" {
		s.t.Fatal(text)
	}
	one.Fill(s.id("c"), 1)
	leaves.Expect(1, "2")
	leaves.Ack(2)
	if text := leaves.Close(); text != "" {
		s.t.Fatal(text)
	}
	s.restarted()
	one.Fill(s.id("c"), 1)
	stays.Expect(1, "3")
}

func anotherServer(s *stage) {
	leaf := s.server.URL()
	other := harness.New(s.t, harness.Binary(), "-store", "MEMORY", "-ns", leaf)
	other.Launch()
	select {
	case <-other.Process.Done():
	case <-time.After(wire.Patience):
		s.t.Fatal("a second server with the same cluster ID keeps running")
	}
	if got := other.Process.ExitCode(); got != 1 {
		s.t.Errorf("exit status %d, want 1", got)
	}
	if want := `discovered another streaming server with cluster ID "test-cluster"`; !other.Log.Contains(want) {
		s.t.Errorf("log lacks %q:\n%s", want, other.Log)
	}
	// It probed as a client, and left no client behind.
	if got := s.conn.CloseClient(wire.Cluster); got != "stan: unknown clientID" {
		s.t.Errorf("close of the probing client: %q", got)
	}
}

func logOfSubscriptions(s *stage) {
	cl, two := s.client("a"), s.client("b")
	c := s.id("c")
	cl.Fill(c, 3)
	end := func(f func(*wire.Sub) string, sub *wire.Sub) {
		s.t.Helper()
		if text := f(sub); text != "" {
			s.t.Fatal(text)
		}
	}
	closed, unsubscribed := (*wire.Sub).Close, (*wire.Sub).Unsubscribe
	sub := cl.Sub(c)
	end(closed, sub)
	cl.Sub(c, wire.Start(pb.StartPosition_LastReceived))
	cl.Sub(c, func(r *pb.SubscriptionRequest) {
		r.StartPosition, r.StartSequence = pb.StartPosition_SequenceStart, 100
	})
	durable := cl.Sub(c, wire.All, wire.Durable("d"))
	end(closed, durable)
	end(unsubscribed, cl.Sub(c, wire.Durable("d")))
	queue := cl.Sub(c, wire.Queue("q"))
	end(closed, two.Sub(c, wire.Queue("q")))
	end(closed, queue)
	dq := cl.Sub(c, wire.Durable("d"), wire.Queue("q"))
	end(closed, dq)
	end(unsubscribed, two.Sub(c, wire.Durable("d"), wire.Queue("q")))
	for _, line := range []string{
		"[Client:A] Connected (Inbox=" + cl.HB + ")",
		"[Client:A] Started new subscription, subject=C, inbox=" + sub.Inbox + ", subid=",
		", sending new-only, seq=4",
		", sending last message, seq=3",
		", sending from sequence, asked_seq=100 actual_seq=4",
		"[Client:A] Removed subscription, subject=C, inbox=" + sub.Inbox + ", subid=",
		"[Client:A] Started new durable subscription, subject=C, inbox=" + durable.Inbox + ", durable=d, subid=",
		", sending from beginning, seq=1",
		"[Client:A] Suspended durable subscription, subject=C, inbox=" + durable.Inbox + ", durable=d, subid=",
		"[Client:A] Resumed durable subscription, subject=C, inbox=",
		"[Client:A] Removed durable subscription, subject=C, inbox=",
		"[Client:A] Started new queue subscription, subject=C, inbox=" + queue.Inbox + ", queue=q, subid=",
		"[Client:B] Added member to queue subscription, subject=C, inbox=",
		"[Client:B] Removed member from queue subscription, subject=C, inbox=",
		"[Client:A] Removed queue subscription, subject=C, inbox=" + queue.Inbox,
		"[Client:A] Started new durable queue subscription, subject=C, inbox=" + dq.Inbox + ", queue=d:q, subid=",
		"[Client:A] Suspended durable queue subscription, subject=C, inbox=" + dq.Inbox,
		"[Client:B] Resumed durable queue subscription, subject=C, inbox=",
		"[Client:B] Removed durable queue subscription, subject=C, inbox=",
	} {
		line = strings.NewReplacer("[Client:A]", "[Client:"+cl.ID+"]", "[Client:B]", "[Client:"+two.ID+"]", "subject=C,", "subject="+c+",").Replace(line)
		s.server.WaitLog(s.t, line)
	}
}
