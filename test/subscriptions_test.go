package test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// fill publishes n messages to a plain channel.
func fill(t *testing.T, sc stan.Conn, channel string, n int) {
	t.Helper()
	for i := range n {
		publish(t, sc, channel, fmt.Appendf(nil, "message %d", i+1))
	}
}

// marker publishes one more message and waits for it. Anything due before has then arrived.
func (in inbox) marker(t *testing.T, sc stan.Conn, channel string, want uint64) {
	t.Helper()
	publish(t, sc, channel, []byte("marker"))
	if got := in.next(t).Sequence; got != want {
		t.Fatalf("next message is %d, want %d", got, want)
	}
}

func TestStartPositions(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		fill(t, sc, "c", 5)
		// A client sends a start time as its distance from now, so the time the request takes shifts it. This pause is
		// longer than that.
		sixth := time.Now()
		<-time.After(time.Second)
		fill(t, sc, "c", 4)
		for _, it := range []struct {
			name  string
			opt   stan.SubscriptionOption
			first uint64
		}{
			{"new only", stan.StartAt(pb.StartPosition_NewOnly), 10},
			{"last received", stan.StartWithLastReceived(), 9},
			{"first", stan.DeliverAllAvailable(), 1},
			{"sequence", stan.StartAtSequence(4), 4},
			{"sequence 0", stan.StartAtSequence(0), 1},
			{"sequence beyond the end", stan.StartAtSequence(100), 10},
			{"time", stan.StartAtTime(sixth), 6},
			{"time before all", stan.StartAtTimeDelta(time.Hour), 1},
			{"time in the future", stan.StartAtTimeDelta(-time.Hour), 10},
		} {
			sub, in := subscribe(t, sc, "c", it.opt)
			for seq := it.first; seq < 10; seq++ {
				if got := in.next(t).Sequence; got != seq {
					t.Errorf("%s: got %d, want %d", it.name, got, seq)
				}
			}
			in.none(t)
			if err := sub.Unsubscribe(); err != nil {
				t.Error(err)
			}
		}
		for name, opt := range map[string]stan.SubscriptionOption{
			"first": stan.DeliverAllAvailable(), "last": stan.StartWithLastReceived(),
			"sequence": stan.StartAtSequence(7), "time": stan.StartAtTimeDelta(time.Minute),
		} {
			channel := "empty." + name
			_, in := subscribe(t, sc, channel, opt)
			in.marker(t, sc, channel, 1)
		}
	})
}

func TestRedelivery(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		fill(t, sc, "c", 3)
		_, in := subscribe(t, sc, "c", stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.MaxInflight(2), stan.AckWait(time.Second))
		// Without acks: 1 2 | 1 2 at 1 s | 1 2 at 2 s; 3 comes only after an ack.
		var last *stan.Msg
		for round := range uint32(3) {
			for _, want := range []uint64{1, 2} {
				last = in.next(t)
				if last.Sequence != want || last.Redelivered != (round > 0) || last.RedeliveryCount != round {
					t.Fatalf("round %d: got %d (redelivered %v, %d), want %d", round, last.Sequence, last.Redelivered, last.RedeliveryCount, want)
				}
			}
		}
		in.none(t)
		if err := last.Ack(); err != nil {
			t.Fatal(err)
		}
		if third := in.next(t); third.Sequence != 3 || third.Redelivered {
			t.Fatalf("after an ack: got %d (redelivered %v), want 3", third.Sequence, third.Redelivered)
		}
	})
}

func TestDurables(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		fill(t, sc, "c", 3)
		options := []stan.SubscriptionOption{stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Minute)}
		sub, in := subscribe(t, sc, "c", options...)
		for range 3 {
			if m := in.next(t); m.Sequence == 2 {
				if err := m.Ack(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := sc.Subscribe("c", func(*stan.Msg) {}, stan.DurableName("d")); err == nil || err.Error() != "stan: duplicate durable registration" {
			t.Errorf("second subscription on the durable: %v", err)
		}
		// 1 and 3 are unacknowledged, 4 is published while offline: 1r 3r 4.
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		fill(t, sc, "c", 1)
		resumed := func(in inbox) {
			t.Helper()
			for _, want := range []struct {
				seq         uint64
				redelivered bool
			}{{1, true}, {3, true}, {4, false}} {
				if m := in.next(t); m.Sequence != want.seq || m.Redelivered != want.redelivered {
					t.Fatalf("resumed: got %d (redelivered %v), want %+v", m.Sequence, m.Redelivered, want)
				}
			}
			in.none(t)
		}
		_, in = subscribe(t, sc, "c", options...)
		resumed(in)

		// The same after a crash of client and server. The server stores what it sent at most one write-behind interval
		// later.
		if err := sc.Close(); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		s.Restart()
		sc = s.connect("client")
		sub, in = subscribe(t, sc, "c", options...)
		for _, want := range []uint64{1, 3, 4} {
			if m := in.next(t); m.Sequence != want || !m.Redelivered {
				t.Fatalf("after restart: got %d (redelivered %v), want %d", m.Sequence, m.Redelivered, want)
			}
		}
		// After unsubscribing, it starts anew.
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		_, in = subscribe(t, sc, "c", stan.DurableName("d"), stan.StartAtSequence(2))
		if got, want := in.sequences(t, 3), []uint64{2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("after unsubscribe: %v, want %v", got, want)
		}
	})
}

func TestQueueGroups(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		one, two := s.connect("one"), s.connect("two")
		in := newInbox()
		join := func(sc stan.Conn, opts ...stan.SubscriptionOption) (stan.Subscription, *atomic.Int64) {
			t.Helper()
			var n atomic.Int64
			opts = append([]stan.SubscriptionOption{stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Minute)}, opts...)
			sub, err := sc.QueueSubscribe("c", "q", func(m *stan.Msg) { n.Add(1); in <- m }, opts...)
			if err != nil {
				t.Fatal(err)
			}
			return sub, &n
		}
		first, n1 := join(one, stan.DurableName("d"))
		second, n2 := join(two, stan.DurableName("d"))
		fill(t, one, "c", 10)
		seqs := in.sequences(t, 10)
		slices.Sort(seqs)
		if want := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(seqs, want) {
			t.Fatalf("the group received %v", seqs)
		}
		if n1.Load() != 5 || n2.Load() != 5 {
			t.Errorf("members received %d and %d, want 5 each", n1.Load(), n2.Load())
		}
		// The remaining members receive a leaver's messages.
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if m := in.next(t); !m.Redelivered {
				t.Errorf("%d is not marked as redelivered", m.Sequence)
			}
		}
		if n2.Load() != 10 {
			t.Errorf("the remaining member received %d, want 10", n2.Load())
		}
		// The group and its unacknowledged messages survive its last member and a crash.
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		fill(t, one, "c", 1)
		s.Kill()
		s.Restart()
		three := s.connect("three")
		_, _ = join(three, stan.DurableName("d"))
		if got, want := in.sequences(t, 11), []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; !slices.Equal(got, want) {
			t.Errorf("after a restart: %v, want %v", got, want)
		}
	})
}

// State survives a restart, and connected applications continue without resubscribing.
func TestApplicationsGoOnAfterRestart(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		for name, end := range map[string]func(*server){"stop": (*server).Stop, "kill": (*server).Kill} {
			s := start(t, driver, source)
			reconnected := make(chan struct{}, 10)
			nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
				nats.ReconnectHandler(func(*nats.Conn) { reconnected <- struct{}{} }))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			sc := s.connect("app-"+name, stan.NatsConn(nc), stan.Pings(5, 100))
			channel := "c." + name
			_, plain := subscribe(t, sc, channel)
			_, durable := subscribe(t, sc, channel, stan.DurableName("d"))
			queue := newInbox()
			if _, err := sc.QueueSubscribe(channel, "q", func(m *stan.Msg) { queue <- m }); err != nil {
				t.Fatal(err)
			}
			fill(t, sc, channel, 3)
			for _, in := range []inbox{plain, durable, queue} {
				in.sequences(t, 3)
			}
			end(s)
			s.Restart()
			select {
			case <-reconnected:
			case <-time.After(patience):
				t.Fatal("the client did not reconnect")
			}
			publish(t, sc, channel, []byte("after"))
			for _, in := range []inbox{plain, durable, queue} {
				m := in.next(t)
				for m.Sequence < 4 { // sent before, and its acknowledgement did not arrive any more
					m = in.next(t)
				}
				if m.Sequence != 4 {
					t.Errorf("%s: after restart got %d, want 4", name, m.Sequence)
				}
			}
			s.Stop()
		}
	})
}

func TestClientLifeCycle(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-hbi", "200ms", "-hbt", "200ms", "-hbf", "1")
		sc := s.connect("client")
		if _, err := stan.Connect("test-cluster", "client", stan.NatsURL(s.URL())); err == nil || !strings.Contains(err.Error(), "clientID already registered") {
			t.Errorf("second connection with the ID: %v", err)
		}
		if _, err := stan.Connect("test-cluster", "no good", stan.NatsURL(s.URL())); err == nil || !strings.Contains(err.Error(), "invalid clientID") {
			t.Errorf("bad client ID: %v", err)
		}
		if err := sc.Close(); err != nil {
			t.Error(err)
		}
		s.connect("client")

		// A client that is gone is replaced, and one that stays away is closed.
		nc, err := nats.Connect(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		gone := s.connect("gone", stan.NatsConn(nc))
		if _, err := gone.Subscribe("c", func(*stan.Msg) {}, stan.DurableName("d")); err != nil {
			t.Fatal(err)
		}
		nc.Close()
		replacing := s.connect("gone")
		if _, err := replacing.Subscribe("c", func(*stan.Msg) {}, stan.DurableName("d")); err != nil {
			t.Errorf("durable of a replaced client: %v", err)
		}
		nc2, err := nats.Connect(s.URL())
		if err != nil {
			t.Fatal(err)
		}
		s.connect("silent", stan.NatsConn(nc2))
		nc2.Close()
		s.WaitLog(t, "[Client:silent] Timed out on heartbeats")
	})
}

// A subscriber that never acknowledges and one that replays do not delay others.
func TestSlowSubscriberDelaysNobody(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		_, stuck := subscribe(t, sc, "c", stan.SetManualAckMode(), stan.MaxInflight(1), stan.AckWait(time.Hour))
		_, live := subscribe(t, sc, "c")
		fill(t, sc, "c", 200)
		_, replay := subscribe(t, sc, "c", stan.DeliverAllAvailable(), stan.MaxInflight(10))
		for _, in := range []inbox{live, replay} {
			for i, seq := range in.sequences(t, 200) {
				if seq != uint64(i+1) {
					t.Fatalf("got %d, want %d", seq, i+1)
				}
			}
		}
		if stuck.next(t).Sequence != 1 {
			t.Error("the stuck subscriber did not receive the first message")
		}
		stuck.none(t)
	})
}

// The server's own NATS subscriptions do not grow with the subscribers, because closing a client waits for each of them.
func TestAcksShareOneSubscription(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-m", "-1")
	sc := s.connect("client")
	subscriptions := func() int { return int(s.json("/varz")["subscriptions"].(float64)) }
	const n = 20
	if err := sc.NatsConn().Flush(); err != nil { // its own subscriptions may be in flight
		t.Fatal(err)
	}
	before := subscriptions()
	var inboxes []inbox
	for range n {
		_, in := subscribe(t, sc, "c", stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.MaxInflight(1))
		inboxes = append(inboxes, in)
	}
	if got := subscriptions() - before; got != n {
		t.Errorf("%d subscribers made %d NATS subscriptions, want their %d inboxes", n, got, n)
	}
	fill(t, sc, "c", 2)
	for _, in := range inboxes {
		if m := in.next(t); m.Sequence != 1 || m.Ack() != nil || in.next(t).Sequence != 2 {
			t.Error("no message was delivered after an acknowledgement")
		}
	}
}

// A server without memory for caching or reading ahead delivers the same messages. It reads what subscribers can take.
func TestDeliveryWithoutMemory(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-tail_bytes", "0", "-read_ahead_bytes", "0")
		sc := s.connect("client")
		var inboxes []inbox
		add := func(opts ...stan.SubscriptionOption) {
			_, in := subscribe(t, sc, "c", append(opts, stan.DeliverAllAvailable())...)
			inboxes = append(inboxes, in)
		}
		add()
		fill(t, sc, "c", 200)
		add(stan.MaxInflight(1))
		add(stan.MaxInflight(7), stan.DurableName("d"))
		add(stan.MaxInflight(1000))
		fill(t, sc, "c", 100)
		for _, in := range inboxes {
			for i, seq := range in.sequences(t, 300) {
				if seq != uint64(i+1) {
					t.Fatalf("got %d, want %d", seq, i+1)
				}
			}
		}
	})
}
