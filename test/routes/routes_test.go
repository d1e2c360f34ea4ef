package routes

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const toServices = `streaming {
	routes: [
		{ channel: "projector" }
		{ types: ["OrderPaid", "Refund*"], channel: "payments", payload: data }
		{ from: "eventstore.returns", channel: "returned", payload: data }
	]
}`

// Each stored event is routed once, in order, with its assigned version. Refused events and duplicates are not routed.
func TestRoutedAsStored(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source, "-sc", configuration(t, toServices))
		sc := connect(t, s, "publisher")
		for _, it := range []struct {
			payload []byte
			refused bool
		}{
			{event(t, "e1", "OrderCreated", "o1", 0, `{"n":1}`), false},
			{event(t, "e2", "OrderPaid", "o1", 7, `{"n":2}`), true},
			{event(t, "e3", "OrderPaid", "o1", 2, `{"n":3}`), false},
			{event(t, "e1", "OrderCreated", "o1", 0, `{"n":1}`), false}, // a duplicate
			{event(t, "e4", "RefundAsked", "o1", 0, `{"n":4}`), false},
		} {
			if err := sc.Publish(orders, it.payload); (err != nil) != it.refused {
				t.Fatal(err)
			}
		}
		if err := sc.Publish("payments", []byte("by hand")); err != nil {
			t.Fatal(err)
		}
		for i, m := range receive(t, sc, "projector", 3) {
			if e := read(t, m.Data); m.Sequence != uint64(i+1) || e.EventVersion != uint64(i+1) || e.EventId != []string{"e1", "e3", "e4"}[i] {
				t.Errorf("message %d: %v", m.Sequence, e)
			}
		}
		for i, m := range receive(t, sc, "payments", 3) {
			if want := []string{`{"n":3}`, `{"n":4}`, "by hand"}[i]; m.Sequence != uint64(i+1) || string(m.Data) != want {
				t.Errorf("message %d: %s, want %s", m.Sequence, m.Data, want)
			}
		}
		for channel, want := range map[string]string{"projector": "3", "payments": "3", "returned": "0"} {
			if got := stored(t, driver, source, channel); got != want {
				t.Errorf("channel %q has %s messages, want %s", channel, got, want)
			}
		}
	})
}

// Each event has its copies and each copy its event, whenever the server is killed.
func TestRoutedIfAndOnlyIfStored(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source, "-sc", configuration(t, toServices))
		worker := connect(t, s, "worker")
		var seen atomic.Uint64
		_, err := worker.QueueSubscribe("projector", "projectors", func(m *stan.Msg) {
			if want := seen.Load() + 1; m.Sequence > want {
				t.Errorf("received message %d before %d", m.Sequence, want)
			} else if m.Sequence == want {
				seen.Add(1)
			}
			if err := m.Ack(); err != nil {
				t.Log("ack while the server is down:", err)
			}
		}, stan.DurableName("all"), stan.SetManualAckMode(), stan.MaxInflight(1), stan.DeliverAllAvailable())
		if err != nil {
			t.Fatal(err)
		}
		for round := range 3 {
			sc := connect(t, s, fmt.Sprintf("publisher-%d", round))
			acked := make(chan error, 1000)
			go func() {
				for i := range 1000 {
					_, err := sc.PublishAsync(orders, event(t, "", "OrderPaid", fmt.Sprintf("o-%d", i%10), 0, `{"n":1}`),
						func(_ string, err error) { acked <- err })
					if err != nil {
						return // the server was killed
					}
				}
			}()
			for range 300 {
				if err := <-acked; err != nil {
					t.Fatal(err)
				}
			}
			s.Kill()
			s.Restart()
		}
		if err := connect(t, s, "last").Publish(orders, event(t, "", "OrderPaid", "last", 0, `{"n":1}`)); err != nil {
			t.Fatal(err)
		}
		harness.Verify(t, driver, source)
		events := stored(t, driver, source, orders)
		for _, channel := range []string{"projector", "payments"} {
			if got := stored(t, driver, source, channel); got != events {
				t.Errorf("channel %q has %s messages, want %s", channel, got, events)
			}
		}
		for i, m := range receive(t, connect(t, s, "reader"), "projector", atoi(t, events)) {
			if m.Sequence != uint64(i+1) {
				t.Fatalf("message %d has sequence %d", i+1, m.Sequence)
			}
		}
	})
}

func atoi(t *testing.T, text string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// An event that cannot be routed is refused with the reason.
func TestRefusedRatherThanNotRouted(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "sqlite", t.TempDir()+"/eventstore.db", "-sc", configuration(t, `
max_payload: 64KB
streaming {
	limits { max_channels: 2 }
	routes: [
		{ types: Big, channel: "`+strings.Repeat("long", 50)+`" }
		{ types: Other, channel: "third" }
		{ channel: "kept" }
	]
}`))
	sc := connect(t, s, "publisher")
	if err := sc.Publish(orders, event(t, "", "OrderPaid", "o1", 0, `{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	err := sc.Publish(orders, event(t, "", "Other", "o1", 0, `{"n":2}`))
	if err == nil || err.Error() != `stan: route to channel "third": too many channels` {
		t.Errorf("error %v", err)
	}
	if err := sc.Publish(orders, event(t, "", "OrderPaid", "o1", 2, `{"n":3}`)); err != nil {
		t.Error("the refused event took a version:", err)
	}
}

// Limits apply to the target channels of routes, not to the events' channels.
func TestServiceChannelsHaveLimits(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source, "-sc", configuration(t, `streaming {
	limits { max_msgs: 3 }
	routes { channel: "service", payload: data }
}`))
		sc := connect(t, s, "publisher")
		for i := range 10 {
			if err := sc.Publish(orders, event(t, "", "OrderPaid", "o1", 0, fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		msgs := receive(t, sc, "service", 3)
		if msgs[0].Sequence != 8 || string(msgs[2].Data) != "9" {
			t.Errorf("messages %v", msgs)
		}
		if got := stored(t, driver, source, orders); got != "10" {
			t.Errorf("%s events, want 10", got)
		}
	})
}

// An event is refused if its copy is too large because of the longer channel name.
func TestCopyTooLarge(t *testing.T) {
	t.Parallel()
	s := harness.Start(t, "sqlite", t.TempDir()+"/eventstore.db", "-sc", configuration(t, `
max_payload: 64KB
streaming { routes { types: Big, channel: "`+strings.Repeat("long", 100)+`" } }`))
	sc := connect(t, s, "publisher")
	large := strings.Repeat("x", 64<<10-400)
	err := sc.Publish(orders, event(t, "", "Big", "o1", 0, large))
	if err == nil || !strings.Contains(err.Error(), "too large to be delivered") {
		t.Errorf("error %v", err)
	}
	if err := sc.Publish(orders, event(t, "", "Small", "o1", 1, large)); err != nil {
		t.Error(err)
	}
}
