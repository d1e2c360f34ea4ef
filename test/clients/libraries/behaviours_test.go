package libraries

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// behaviours are what applications expect of a library. The last one restarts the server.
var behaviours = []struct {
	name string
	test func(s *stage)
}{
	{"publish", publish},
	{"start-positions", startPositions},
	{"redelivery", redelivery},
	{"durable", durable},
	{"unsubscribe", unsubscribe},
	{"queue-group", queueGroup},
	{"durable-queue-group", durableQueueGroup},
	{"client-id", clientID},
	{"wildcard", wildcard},
	{"restart", restart},
}

// TestLibraries tests every library with every store.
func TestLibraries(t *testing.T) {
	t.Parallel()
	libraries := []library{
		{"node-nats-streaming 0.3.2", node("owned"), true},
		{"node-nats-streaming 0.3.2, borrowed connection, an inbox for each request", node("borrowed"), true},
		{"nats.c", nativeC(t), true},
		{"stan.py 0.4.0", speaks(python), true},
		{"stan.py 0.4.0, verbose and pedantic, no echo", speaks(strictPython), true},
		{"stan.py 0.2.0", speaks(oldPython), false},
		{"java-nats-streaming 2.2.3", speaks(java), true},
		{"STAN.Client 0.3.0 for .NET", speaks(dotnet), true},
		{"nats-streaming 0.2.2 for Ruby", speaks(ruby), false},
		{"nats-streaming 0.2.2 for Ruby, on nats-pure 0.2", speaks(oldRuby), false},
	}
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, p := range places {
				t.Run(p.name, func(t *testing.T) {
					t.Parallel()
					s := p.start(t)
					for _, b := range behaviours {
						if !t.Run(b.name, func(t *testing.T) {
							on := *s
							on.t, on.library, on.name = t, l, b.name
							b.test(&on)
						}) {
							return
						}
					}
				})
			}
		})
	}
}

// Each message is acknowledged, or refused with the server's words.
func publish(s *stage) {
	c := s.connect("a")
	s.fill(c, 3)
	if err := c.publish(strings.ToUpper(s.channel()), "x"); err == nil || !strings.Contains(err.Error(), "different cases not allowed") {
		s.t.Errorf("publish to a channel whose name differs in case: %v", err)
	}
	s.expect(s.subscribe(c, options{start: startFirst}), 1, 2, 3)
	s.must("close", c.close())
}

func startPositions(s *stage) {
	c := s.connect("a")
	s.fill(c, 4)
	subs := map[subscription][]uint64{
		s.subscribe(c, options{}):                              {5},
		s.subscribe(c, options{start: startFirst}):             {1, 2, 3, 4, 5},
		s.subscribe(c, options{start: startLast}):              {4, 5},
		s.subscribe(c, options{start: startSequence, from: 3}): {3, 4, 5},
		s.subscribe(c, options{start: startAgo, from: 3600}):   {1, 2, 3, 4, 5},
	}
	s.fill(c, 1)
	for sub, want := range subs {
		s.expect(sub, want...)
	}
	s.must("close", c.close())
}

// What is not acknowledged in time comes again, and what is does not. No more than MaxInFlight wait for it.
func redelivery(s *stage) {
	c := s.connect("a")
	s.fill(c, 3)
	sub := s.subscribe(c, options{start: startFirst, ackWait: 1, maxInFlight: 2})
	for _, want := range []uint64{1, 2} {
		if m := next(s.t, sub); m.sequence != want || m.redelivered || m.data == "" {
			s.t.Fatalf("received %+v, want message %d", m, want)
		}
	}
	s.must("ack", sub.ack(1))
	want := map[uint64]bool{2: true, 3: false} // sequences, and whether they come again
	for len(want) > 0 {
		m := next(s.t, sub)
		if again, ok := want[m.sequence]; !ok || again != m.redelivered {
			s.t.Fatalf("received %+v, want %v", m, want)
		}
		s.must("ack", sub.ack(m.sequence))
		delete(want, m.sequence)
	}
	s.must("close", c.close())
}

// A durable goes on where it was, after its subscription was closed, and after its client was.
func durable(s *stage) {
	d := options{start: startFirst, durable: "d"}
	c := s.connect("a")
	s.fill(c, 2)
	sub := s.subscribe(c, d)
	s.expect(sub, 1, 2)
	if _, err := c.subscribe(s.channel(), d); err == nil || !strings.Contains(err.Error(), "stan: duplicate durable registration") {
		s.t.Errorf("subscribe to an active durable: %v", err)
	}
	s.must("close the subscription", sub.close())
	s.fill(c, 1)
	s.expect(s.subscribe(c, d), 3)
	s.must("close", c.close())
	other := s.connect("b")
	s.fill(other, 1)
	c = s.connect("a")
	s.expect(s.subscribe(c, d), 4)
	s.must("close", c.close())
	s.must("close", other.close())
}

// Unsubscribing ends a durable: the next one of the name is new.
func unsubscribe(s *stage) {
	d := options{start: startFirst, durable: "d"}
	c := s.connect("a")
	s.fill(c, 2)
	sub := s.subscribe(c, d)
	plain := s.subscribe(c, options{start: startFirst})
	s.expect(sub, 1, 2)
	s.expect(plain, 1, 2)
	s.must("unsubscribe", sub.unsubscribe())
	s.must("unsubscribe", plain.unsubscribe())
	s.expect(s.subscribe(c, d), 1, 2)
	s.must("close", c.close())
}

// Each message goes to one of the group's members, and what a member leaves unacknowledged to another one.
func queueGroup(s *stage) {
	one, two := s.connect("a"), s.connect("b")
	q := options{start: startFirst, group: "q"}
	first, second := s.subscribe(one, q), s.subscribe(two, q)
	s.fill(one, 20)
	left := make(map[uint64]bool)
	for range 10 {
		left[next(s.t, first).sequence] = true
		m := next(s.t, second)
		if left[m.sequence] {
			s.t.Errorf("message %d was delivered to both", m.sequence)
		}
		s.must("ack", second.ack(m.sequence))
	}
	s.must("close", one.close())
	for range 10 {
		m := next(s.t, second)
		if !left[m.sequence] || !m.redelivered {
			s.t.Fatalf("received %+v, which the member that left did not have", m)
		}
		delete(left, m.sequence)
		s.must("ack", second.ack(m.sequence))
	}
	s.must("close", two.close())
}

// A durable group keeps its position while it has no members.
func durableQueueGroup(s *stage) {
	q := options{start: startFirst, group: "q", durable: "d"}
	one := s.connect("a")
	s.fill(one, 2)
	s.expect(s.subscribe(one, q), 1, 2)
	s.must("close", one.close())
	two := s.connect("b")
	s.fill(two, 1)
	sub := s.subscribe(two, q)
	s.expect(sub, 3)
	s.must("unsubscribe", sub.unsubscribe())
	s.expect(s.subscribe(two, q), 1, 2, 3)
	s.must("close", two.close())
}

// An ID belongs to one client at a time: to another one after it was closed, or has vanished.
func clientID(s *stage) {
	c := s.connect("a")
	if _, err := s.try("a"); err == nil || !strings.Contains(err.Error(), "stan: clientID already registered") {
		s.t.Errorf("connect with the ID of another client: %v", err)
	}
	s.must("close", c.close())
	for _, data := range []string{"one", "two"} {
		c = s.connect("a")
		sub := s.subscribe(c, options{durable: "d"})
		s.must("publish", c.publish(s.channel(), data))
		s.until(sub, data)
		c.vanish()
	}
	s.must("close", s.connect("a").close())
}

// A pattern of event channels is a subscription like any other, with positions as sequences.
func wildcard(s *stage) {
	c := s.connect("a")
	appendTo := func(channel, data string) {
		s.must("publish", c.publish(s.channel()+"."+channel, data))
	}
	subscribe := func(o options) subscription {
		sub, err := c.subscribe(s.channel()+".*", o)
		s.must("subscribe", err)
		return sub
	}
	for i, channel := range []string{"x", "y", "x"} {
		appendTo(channel, fmt.Sprintf(`{"id":"a","n":%d}`, i+1))
	}
	d := options{start: startFirst, durable: "d", ackWait: 1}
	sub := subscribe(d)
	s.expect(sub, 1)
	next(s.t, sub)
	s.expect(sub, 3)
	if m := next(s.t, sub); m.sequence != 2 || !m.redelivered || m.data != `{"id":"a","n":2}` {
		s.t.Fatalf("received %+v, want message 2 again", m)
	}
	s.must("ack", sub.ack(2))
	s.must("close the subscription", sub.close())
	appendTo("later", `{"id":"a","n":4}`)
	sub = subscribe(d)
	s.expect(sub, 4)
	s.must("unsubscribe", sub.unsubscribe())
	s.expect(subscribe(options{start: startSequence, from: 3}), 3, 4)
	s.must("close", c.close())
}

// until receives messages until one has that content, and acknowledges them. Acks on their way when a client or a server was
// killed may be lost, so earlier messages may come again.
func (s *stage) until(sub subscription, data string) {
	s.t.Helper()
	for {
		m := next(s.t, sub)
		s.must("ack", sub.ack(m.sequence))
		if m.data == data {
			return
		}
	}
}

// The server is killed and starts again. Applications go on without noticing, unless the store was in memory: then they are told
// that their client is gone.
func restart(s *stage) {
	c, gone := s.connect("a"), s.connect("gone")
	d := options{start: startFirst, durable: "d"}
	sub, plain, group := s.subscribe(c, d), s.subscribe(c, options{start: startFirst}), s.subscribe(c, options{start: startFirst, group: "q"})
	offline := s.subscribe(gone, d)
	s.fill(c, 2)
	for _, it := range []subscription{sub, plain, group, offline} {
		s.expect(it, 1, 2)
	}
	s.must("close", gone.close())
	s.server.Kill()
	s.server.Restart()
	if !s.outside {
		select {
		case <-c.back():
		case <-time.After(harness.Patience):
			s.t.Fatal("the client does not connect again")
		}
	}
	if s.forgets {
		s.forgotten(c)
		return
	}
	s.must("publish", c.publish(s.channel(), "after"))
	for _, it := range []subscription{sub, plain, group} {
		s.until(it, "after")
	}
	s.must("close the durable", sub.close())
	s.must("unsubscribe", plain.unsubscribe())
	s.must("publish", c.publish(s.channel(), "later"))
	s.until(s.subscribe(c, d), "later")
	s.must("close", c.close())
	gone = s.connect("gone")
	s.until(s.subscribe(gone, d), "later")
	s.must("close", gone.close())
}

// forgotten checks what a client hears that the server no longer knows.
func (s *stage) forgotten(c client) {
	s.t.Helper()
	if s.library.pings {
		select {
		case why := <-c.lost():
			if !strings.Contains(why, "client has been replaced or is no longer registered") {
				s.t.Errorf("the client is lost: %s", why)
			}
		case <-time.After(harness.Patience):
			s.t.Fatal("the client was not told")
		}
	} else if err := c.publish(s.channel(), "x"); err == nil || !strings.Contains(err.Error(), "stan: invalid publish request") {
		s.t.Errorf("publish: %v", err)
	}
	c = s.connect("a")
	s.fill(c, 1)
	s.expect(s.subscribe(c, options{start: startFirst, durable: "d"}), 1)
	s.must("close", c.close())
}
