package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// appendTo publishes an event to each channel, one after the other.
func appendTo(t *testing.T, sc stan.Conn, channels ...string) {
	t.Helper()
	for _, ch := range channels {
		publish(t, sc, ch, event(t, fmt.Sprint("of ", ch), "T"))
	}
}

// places returns the next n messages as "position channel".
func (in inbox) places(t *testing.T, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		m := in.next(t)
		all[i] = fmt.Sprint(m.Sequence, " ", m.Subject)
	}
	return all
}

func expectPlaces(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// An unmodified client subscribes to patterns. It gets the events of all channels that match, those of channels to come
// included, by position.
func TestWildcards(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards", "-m", "-1")
		sc := s.connect("client")
		a, b, c := "eventstore.a", "eventstore.b", "eventstore.b.c"
		appendTo(t, sc, a, b, c) // 1 to 3
		publish(t, sc, "plain", []byte("x"))
		before := time.Now()
		<-time.After(time.Second) // a client sends a start time as its distance from now
		appendTo(t, sc, a, c, b)  // 4 to 6
		everything := []string{"1 " + a, "2 " + b, "3 " + c, "4 " + a, "5 " + c, "6 " + b}
		for _, it := range []struct {
			name, pattern string
			opt           stan.SubscriptionOption
			want          []string
		}{
			{"all", "eventstore.>", stan.DeliverAllAvailable(), everything},
			{"everything", ">", stan.DeliverAllAvailable(), everything},
			{"one token", "eventstore.*", stan.DeliverAllAvailable(), []string{"1 " + a, "2 " + b, "4 " + a, "6 " + b}},
			{"below", "*.b.>", stan.DeliverAllAvailable(), []string{"3 " + c, "5 " + c}},
			{"new only", "eventstore.>", stan.StartAt(pb.StartPosition_NewOnly), nil},
			{"last received", "eventstore.>", stan.StartWithLastReceived(), everything[5:]},
			{"last received below", "eventstore.b.*", stan.StartWithLastReceived(), everything[4:5]},
			{"last received of none", "eventstore.none.*", stan.StartWithLastReceived(), nil},
			{"position", "eventstore.>", stan.StartAtSequence(3), everything[2:]},
			{"position of another", "eventstore.a*", stan.StartAtSequence(3), nil},
			{"position beyond the end", "eventstore.>", stan.StartAtSequence(100), nil},
			{"time", "eventstore.>", stan.StartAtTime(before), everything[3:]},
			{"time in the future", "eventstore.>", stan.StartAtTimeDelta(-time.Hour), nil},
		} {
			if it.pattern == "eventstore.a*" { // a token is a wildcard as a whole
				if _, err := sc.Subscribe(it.pattern, func(*stan.Msg) {}); err == nil || err.Error() != "stan: invalid subject" {
					t.Errorf("subscribe to %s: %v", it.pattern, err)
				}
				continue
			}
			sub, in := subscribe(t, sc, it.pattern, it.opt)
			expectPlaces(t, it.name, in.places(t, len(it.want)), it.want...)
			if err := sub.Unsubscribe(); err != nil {
				t.Errorf("%s: unsubscribe: %v", it.name, err)
			}
			in.none(t)
		}

		// Subscriptions that overlap, a channel among them, and a channel that did not exist.
		_, one := subscribe(t, sc, "eventstore.*", stan.DurableName("d"))
		_, two := subscribe(t, sc, "eventstore.>", stan.DurableName("d"))
		_, plain := subscribe(t, sc, b, stan.DurableName("d"))
		later := "eventstore.later"
		appendTo(t, sc, later, c, b) // 7 to 9
		// Whoever subscribes to what it publishes has it before the answer; only its handlers may still run.
		expectPlaces(t, "one token", one.places(t, 2), "7 "+later, "9 "+b)
		expectPlaces(t, "all", two.places(t, 3), "7 "+later, "8 "+c, "9 "+b)
		expectPlaces(t, "the channel", plain.places(t, 1), "3 "+b)
		one.none(t)

		// What cannot be is refused.
		for pattern, want := range map[string]string{
			"orders.*":       `stan: invalid subject: no event channel can match the pattern "orders.*", and plain channels have no common order: subscribe to each channel`,
			"eventstore.>.x": "stan: invalid subject",
			"eventstore..*":  "stan: invalid subject",
		} {
			if _, err := sc.Subscribe(pattern, func(*stan.Msg) {}); err == nil || err.Error() != want {
				t.Errorf("subscribe to %s: %v, want %s", pattern, err, want)
			}
		}
		if err := sc.Publish("eventstore.*", event(t, "x", "T")); err == nil {
			t.Error("a pattern took an event")
		}
		if _, err := sc.Subscribe("eventstore.>", func(*stan.Msg) {}, stan.DurableName("d")); err == nil || err.Error() != "stan: duplicate durable registration" {
			t.Errorf("the same durable again: %v", err)
		}
		wildcardsSeen(t, s, b)
	})
}

// wildcardsSeen checks the pages and metrics of TestWildcards.
func wildcardsSeen(t *testing.T, s *server, channel string) {
	t.Helper()
	type page struct {
		Name          string   `json:"name"`
		LastSeq       int      `json:"last_seq"`
		SubsCount     int      `json:"subs_count"`
		Wildcards     []string `json:"wildcards"`
		Subscriptions []struct {
			Durable  string `json:"durable_name"`
			LastSent int    `json:"last_sent"`
		} `json:"subscriptions"`
	}
	get := func(path string) (p page) {
		t.Helper()
		body, _ := s.get(path)
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := get("/streaming/channelsz?subs=1&channel=" + channel); p.SubsCount != 1 {
		t.Errorf("the channel's own page has %d subscriptions", p.SubsCount)
	}
	p := get("/streaming/channelsz?subs=1&channel=eventstore.%3E")
	if p.Name != "eventstore.>" || p.LastSeq != 9 || len(p.Subscriptions) != 1 || p.Subscriptions[0].LastSent != 9 {
		t.Errorf("the pattern's page: %+v", p)
	}
	if p := get("/streaming/channelsz"); !slices.Equal(p.Wildcards, []string{"eventstore.*", "eventstore.>"}) {
		t.Errorf("wildcards %v", p.Wildcards)
	}
	if body, _ := s.get("/streaming/clientsz?subs=1"); !strings.Contains(body, `"eventstore.`) {
		t.Errorf("the client's subscriptions: %s", body)
	}
	metrics, _ := s.get("/metrics")
	for _, want := range []string{
		`nats_streaming_subscriptions{state="active"} 3`,
		`nats_streaming_lag_messages{channel="eventstore.>",client_id="client",durable_name="d",queue_name=""} `,
		`nats_streaming_lag_seconds{channel="eventstore.>",client_id="client",durable_name="d",queue_name=""} `,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics without %s", want)
		}
	}
}

// A durable of a pattern goes on where it was: after a close, a restart and kill -9. What it has not acknowledged comes again.
func TestWildcardDurable(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards")
		sc, publisher := s.connect("client"), s.connect("publisher")
		channels := make([]string, 100)
		for i := range channels {
			channels[i] = fmt.Sprint("eventstore.many.", i)
		}
		appendTo(t, publisher, channels...)
		options := []stan.SubscriptionOption{stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(10 * patience), stan.MaxInflight(1000)}
		sub, in := subscribe(t, sc, "eventstore.many.*", options...)
		received := func(from, to int, keep ...uint64) {
			t.Helper()
			for n := from; n <= to; n++ {
				m := in.next(t)
				if want := channels[(n-1)%len(channels)]; m.Sequence != uint64(n) || m.Subject != want || m.Redelivered {
					t.Fatalf("got %d of %s, redelivered %v, want %d of %s", m.Sequence, m.Subject, m.Redelivered, n, want)
				}
				if slices.Contains(keep, m.Sequence) {
					continue
				}
				if err := m.Ack(); err != nil {
					t.Fatal(err)
				}
			}
		}
		again := func(seqs ...uint64) {
			t.Helper()
			for _, seq := range seqs {
				if m := in.next(t); m.Sequence != seq || !m.Redelivered {
					t.Fatalf("got %d, redelivered %v, want %d again", m.Sequence, m.Redelivered, seq)
				}
			}
		}
		received(1, 100, 17, 60)
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		appendTo(t, publisher, channels[:50]...)
		sub, in = subscribe(t, sc, "eventstore.many.*", options...)
		again(17, 60)
		received(101, 150, 150)
		if err := sub.Close(); err != nil { // acks before it are processed
			t.Fatal(err)
		}
		s.Kill()
		s.Restart()
		publisher = s.connect("publisher2")
		eventually(t, func() bool { return sc.NatsConn().IsConnected() && sc.NatsConn().FlushTimeout(time.Second) == nil })
		appendTo(t, publisher, channels[50:]...)
		other, _ := subscribe(t, publisher, "eventstore.many.*", stan.DurableName("d"))
		if err := other.Unsubscribe(); err != nil { // a durable belongs to its client
			t.Fatal(err)
		}
		sub, in = subscribe(t, sc, "eventstore.many.*", options...)
		again(17, 60, 150)
		received(151, 200)
		s.Stop()
		harness.Verify(t, driver, source)
		s.Restart()
		appendTo(t, s.connect("publisher3"), channels...)
		received(201, 300) // the client has reconnected
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"Wildcards", "Consumers", "Subscriptions", "ConsumersPending"} {
			if got := query(t, driver, source, "SELECT COUNT(*) FROM "+table)[0]; got != "0" {
				t.Errorf("%s rows are left in %s", got, table)
			}
		}
	})
}

// A durable queue group of a pattern shares the events; what a member leaves behind goes to the others, and comes again when its
// AckWait is over.
func TestWildcardQueueGroup(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards")
		publisher := s.connect("publisher")
		const events = 100
		in := newInbox()
		member := func(client string) stan.Subscription {
			t.Helper()
			sub, err := s.connect(client).QueueSubscribe("eventstore.>", "q", func(m *stan.Msg) { in <- m },
				stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Second), stan.MaxInflight(10))
			if err != nil {
				t.Fatal(err)
			}
			return sub
		}
		one, _ := member("one"), member("two")
		for i := range events {
			appendTo(t, publisher, fmt.Sprint("eventstore.", i%7))
		}
		acked := map[uint64]bool{}
		redelivered := false
		for n := 0; len(acked) < events; n++ {
			m := in.next(t)
			redelivered = redelivered || m.Redelivered
			switch n {
			case 30:
				if err := one.Close(); err != nil {
					t.Fatal(err)
				}
			case 60:
				s.Kill()
				s.Restart()
			}
			if n%5 == 0 && !m.Redelivered {
				continue
			}
			if err := m.Ack(); err == nil {
				acked[m.Sequence] = true
			}
		}
		for n := range uint64(events) {
			if !acked[n+1] {
				t.Errorf("position %d is missing", n+1)
			}
		}
		if !redelivered {
			t.Error("nothing came again")
		}
	})
}

// Without the option, patterns are refused as NATS Streaming refuses them. Stored durables wait for it.
func TestWildcardsOff(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards")
		sc := s.connect("client")
		appendTo(t, sc, orders, orders)
		options := []stan.SubscriptionOption{stan.DurableName("d"), stan.DeliverAllAvailable()}
		sub, in := subscribe(t, sc, "eventstore.>", options...)
		in.sequences(t, 2)
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		if err := sc.Close(); err != nil {
			t.Fatal(err)
		}
		s.Stop()

		off := start(t, driver, source)
		sc = off.connect("client")
		if _, err := sc.Subscribe("eventstore.>", func(*stan.Msg) {}, options...); err == nil || err.Error() != "stan: invalid subject" {
			t.Errorf("subscribe: %v", err)
		}
		if !off.Log.Contains("wildcards is off") {
			t.Error("the log does not tell of the durable")
		}
		appendTo(t, sc, orders)
		// New subscriptions do not take the durable's place.
		_, plain := subscribe(t, sc, orders, options...)
		plain.sequences(t, 3)
		if err := sc.Close(); err != nil {
			t.Fatal(err)
		}
		off.Stop()

		s.Restart()
		_, in = subscribe(t, s.connect("client"), "eventstore.>", options...)
		if got := in.next(t).Sequence; got != 3 {
			t.Errorf("the durable goes on with %d", got)
		}
		harness.Verify(t, driver, source)
	})
}
