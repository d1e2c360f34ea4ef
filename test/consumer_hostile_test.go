package test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// orderedSettings order the durable queue group d:q by aggregate, wherever it reads.
const orderedSettings = `consumers: [{names: ["d:q"], order_by: aggregate}]`

// keyedMember is a member of d:q that gets all events, and acknowledges what the test says.
var keyedMember = []wire.Option{wire.All, wire.Queue("q"), wire.Durable("d"), wire.AckWait(30)}

func keyed(more ...wire.Option) []wire.Option { return append(slices.Clone(keyedMember), more...) }

// appendKeys publishes an event of each aggregate, in order.
func appendKeys(t *testing.T, sc stan.Conn, channel, aggregates string) {
	t.Helper()
	for _, id := range strings.Fields(aggregates) {
		publish(t, sc, channel, event(t, id, "T"))
	}
}

// Acknowledgements of messages that a member was not sent have no effect: the order stays. A member that closes, or whose server is
// killed, gets the same again.
func TestOrderedGroupIsHardToConfuse(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", config(t, orderedSettings))
		sc := s.connect("publisher")
		cl := wire.Dial(t, s.URL()).Register("c")
		appendKeys(t, sc, orders, "A A A B B")
		sub := cl.Sub(orders, keyed()...)
		sub.Expect(2, "1 4")
		sub.Ack(0, 2, 3, 5, 99, 1<<63) // they wait, or do not exist
		appendKeys(t, sc, orders, "C")
		sub.Expect(1, "6")
		sub.Ack(1)
		sub.Expect(1, "2")
		sub.Ack(1) // again
		appendKeys(t, sc, orders, "D")
		sub.Expect(1, "7")

		// 2, 4, 6 and 7 are unacknowledged; 3 and 5 wait.
		if text := sub.Close(); text != "" {
			t.Fatal(text)
		}
		sub.Ack(2) // on the inbox of a subscription that is closed
		sub = cl.Sub(orders, keyed()...)
		sub.Expect(4, "2r1 4r1 6r1 7r1")
		s.Kill()
		s.Restart()
		sub.Ack(4)
		sub.Expect(1, "5")
		if text := sub.Close(); text != "" {
			t.Fatal(text)
		}
		sub = cl.Sub(orders, keyed(wire.Max(1))...)
		// What is unacknowledged comes again regardless of MaxInflight, and nothing else does.
		var again []uint64
		for _, m := range sub.Take(4) {
			again = append(again, m.Sequence)
		}
		if want := []uint64{2, 5, 6, 7}; !slices.Equal(again, want) {
			t.Errorf("received %v again, want %v", again, want)
		}
		sub.Ack(7, 6, 5)
		sc = s.connect("another-publisher")
		appendKeys(t, sc, orders, "E")
		sub.Ack(2)
		sub.Expect(1, "3")
		sub.Ack(3)
		sub.Expect(1, "8")

		// The last member unsubscribes: nothing is left of what waited.
		appendKeys(t, sc, orders, "E E")
		if text := sub.Unsubscribe(); text != "" {
			t.Fatal(text)
		}
		sub = cl.Sub(orders, wire.Queue("q"), wire.Durable("d"))
		appendKeys(t, sc, orders, "E E")
		sub.Expect(1, "11")
		sub.Ack(11)
		sub.Expect(1, "12")
	})
}

// A group becomes ordered while its members hold many events of one aggregate, and is not ordered again: by a reload, and by a
// restart.
func TestOrderChangesAtRunTime(t *testing.T) {
	t.Parallel()
	for _, change := range []struct {
		name string
		do   func(t *testing.T, s *server)
	}{
		{"reload", func(t *testing.T, s *server) {
			s.Process.Signal(syscall.SIGHUP)
			s.WaitLog(t, "Reloaded")
		}},
		{"kill", func(_ *testing.T, s *server) {
			s.Kill()
			s.Restart()
		}},
	} {
		t.Run(change.name, func(t *testing.T) {
			t.Parallel()
			source := databases.SQLite(t)
			file := config(t, "consumers: []")
			s := start(t, "sqlite", source, "-c", file)
			sc := s.connect("publisher")
			cl := wire.Dial(t, s.URL()).Register("c")
			appendKeys(t, sc, orders, "A A A")
			sub := cl.Sub(orders, keyed(wire.AckWait(2))...)
			sub.Expect(3, "1 2 3")
			cl.Sub(orders, keyed()...).Close() // what was sent is stored with the new member
			configure := func(text string) {
				t.Helper()
				if err := os.WriteFile(file, []byte("streaming {\n"+text+"\n}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				change.do(t, s)
			}
			configure(orderedSettings)
			sc = s.connect("another-publisher")
			appendKeys(t, sc, orders, "A B")
			got := map[string]int{}
			for got["1"] < 2 || got["5"] == 0 {
				m := sub.Next()
				got[fmt.Sprint(m.Sequence)]++
			}
			if got["2"]+got["3"]+got["4"] > 0 {
				t.Errorf("events of an aggregate are sent before the first one is acknowledged: %v", got)
			}
			sub.Ack(1, 5)
			for _, want := range []uint64{2, 3, 4} {
				m := sub.Next()
				for m.Sequence == 1 || m.Sequence == 5 || m.Sequence == want-1 { // sent again meanwhile
					m = sub.Next()
				}
				if m.Sequence != want {
					t.Fatalf("received %v, want %d", m, want)
				}
				sub.Ack(want)
			}
			appendKeys(t, sc, orders, "A A A")
			for sub.Next().Sequence != 6 { // others come again
			}
			configure("consumers: []")
			got = map[string]int{}
			for got["7"] == 0 || got["8"] == 0 {
				got[fmt.Sprint(sub.Next().Sequence)]++
			}
		})
	}
}

// A pattern is ordered by aggregate within each channel. Parked and waiting events do not hold up the deletion of a channel, and a channel
// of the same name begins anew.
func TestOrderedPattern(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-wildcards", "-c", config(t, orderedSettings))
		sc := s.connect("publisher")
		cl := wire.Dial(t, s.URL()).Register("c")
		one, two := "eventstore.one", "eventstore.two"
		appendKeys(t, sc, one, "A A")
		appendKeys(t, sc, two, "A A B")
		sub := cl.Sub("eventstore.*", keyed()...)
		sub.Expect(3, "1 3 5")
		sub.Ack(3)
		sub.Expect(1, "4")
		if text := sub.Close(); text != "" { // what was sent and acknowledged is stored
			t.Fatal(text)
		}
		s.Kill()
		s.Restart()
		sub = cl.Sub("eventstore.*", keyed()...)
		sub.Expect(3, "1r1 4r1 5r1")
		sub.Ack(1)
		sub.Expect(1, "2")
	})
}

// Settings for all consumers do not harm plain channels, whose messages have neither type nor aggregate.
func TestSettingsOfPlainChannels(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	s := start(t, "sqlite", source, "-c", config(t, `consumers: [{order_by: aggregate, filter {types: ["Order*"]}}]`))
	cl := wire.Dial(t, s.URL()).Register("c")
	cl.Fill("plain", 3)
	cl.Sub("plain", keyed()...).Expect(3, "1 2 3")
	cl.Sub("plain", wire.All, wire.Durable("d")).Expect(3, "1 2 3")
	sc := s.connect("publisher")
	publish(t, sc, orders, event(t, "A", "Payment"), event(t, "A", "OrderCreated"))
	cl.Sub(orders, wire.All, wire.Durable("d")).Expect(1, "2")
}

// A channel of which a consumer has parked and waiting messages is deleted like any other. A channel of the same name begins anew.
func TestChannelOfParkedMessagesIsDeleted(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", config(t, `
			consumers: [{max_deliveries: 1, ack_wait: "50ms"}]
			limits { channels { "brief": { max_inactivity: "1s" } } }`))
		cl := wire.Dial(t, s.URL()).Register("c")
		cl.Fill("brief", 2)
		sub := cl.Sub("brief", keyed()...)
		sub.Expect(2, "1 2")
		parked := func() string { return query(t, driver, source, "SELECT COUNT(*) FROM Parked")[0] }
		eventually(t, func() bool { return parked() == "2" })
		if text := sub.Close(); text != "" {
			t.Fatal(text)
		}
		eventually(t, func() bool {
			return query(t, driver, source, "SELECT COUNT(*) FROM Channels WHERE name = 'brief' AND deleted = FALSE")[0] == "0"
		})
		eventually(t, func() bool { return parked() == "0" })
		cl.Fill("brief", 1)
		cl.Sub("brief", keyed()...).Expect(1, "1")
		s.Kill()
		s.Restart()
		eventually(t, func() bool { return parked() == "1" })
	})
}
