package console_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// configured writes a configuration file.
func configured(t *testing.T, streaming string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte("streaming {\n"+streaming+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// worker is a member of the durable queue group d:workers that receives one message at a time.
func (s *server) worker(t *testing.T, id string, handle func(*stan.Msg)) stan.Conn {
	t.Helper()
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sc, err := stan.Connect("test-cluster", id, stan.NatsConn(nc), stan.ConnectWait(harness.Patience), stan.Pings(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	_, err = sc.QueueSubscribe("eventstore.orders", "workers", handle, stan.DurableName("d"), stan.SetManualAckMode(), stan.DeliverAllAvailable(), stan.MaxInflight(1), stan.AckWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// TestConsumers finds out why a durable is behind, and does each act by the pages.
func TestConsumers(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", configured(t, `consumers: [ { names: "*:workers", max_deliveries: 1, on_limit: park } ]`))
		for i := range 5 {
			s.store(t, "eventstore.orders", order(fmt.Sprintf("o%d", i+1), "OrderPlaced", `{"n":1}`))
		}
		s.worker(t, "shop", func(m *stan.Msg) {
			if m.Sequence != 2 { // a poison message
				_ = m.Ack()
			}
		})
		p := browser(t, s)
		p.open("/console/")
		p.sees("d:workers on eventstore.orders has 1 parked message")
		p.click("d:workers on eventstore.orders has 1 parked message")
		p.sees("durable queue group on eventstore.orders", "delivered 1 times without acknowledgement", "OrderPlaced of o2", "receives")
		p.lacks("stalled")

		act := func(open, button, done string) {
			t.Helper()
			p.click(open)
			p.sees("d:workers")
			p.click(button)
			p.sees(done)
		}
		act("Pause", "Pause", "Paused.")
		p.sees("paused")
		p.open("/console/consumers")
		p.sees("d:workers", "paused")
		p.click("d:workers")
		act("Resume", "Resume", "Resumed.")

		p.click("Replay")
		p.sees("message 2")
		p.click("Replay")
		p.sees("Replayed.")
		p.open("/console/consumers")
		p.until(`[...document.querySelectorAll('td[data-label=Parked]')].some(d => d.innerText === '1') || (location.reload(), false)`, "does not park it again")
		p.click("d:workers")
		p.click("Discard")
		p.click("Discard") // without a reason: the browser does not send the form
		p.sees("Reason, for the audit")
		p.fill("reason", "cannot be parsed")
		p.click("Discard")
		p.sees("Discarded.", "None. A message is parked")

		p.click("Reset")
		p.do(clickOn("input[value=time]"))
		p.fill("value", "2020-01-01")
		p.click("Reset")
		p.sees("Reset.")
		p.click("Skip a message")
		p.fill("sequence", "99")
		p.click("Skip")
		p.sees("unknown message 99")

		p.open("/console/clients")
		p.sees("shop", "answers")
		p.click("Close")
		p.fill("reason", "hangs")
		p.click("Close")
		p.sees("Closed.")
		p.open("/console/consumers")
		p.click("d:workers")
		p.click("Drop")
		p.do(clickOn("input[name=force]"))
		p.click("Drop")
		p.sees("Dropped.", "There are no durables")

		p.open("/console/audit")
		p.sees("drop", "kick", "hangs", "discard", "cannot be parsed", "replay", "resume", "pause", "127.0.0.1")
	})
}

// TestAggregate looks at an order as it was and is.
func TestAggregate(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		p := browser(t, s)
		p.open("/console/channels")
		p.sees("There are no event channels")
		s.store(t, "eventstore.orders", order("o1", "OrderPlaced", `{"amount":10,"address":{"city":"Bonn","floor":2}}`))
		s.store(t, "eventstore.orders", order("o1", "OrderMoved", `{"address":{"city":"Rome","floor":null}}`), order("o1", "OrderPaid", `{"paid":true}`))
		s.store(t, "eventstore.parcels", order("o1", "ParcelSent", `{}`))
		p.open("/console/channels")
		p.sees("eventstore.orders", "eventstore.parcels")
		p.click("eventstore.orders")
		p.sees("OrderMoved")

		p.open("/console/aggregate")
		p.fill("id", "o1")
		p.click("Show")
		p.sees("Several aggregates have this ID")
		p.click("Order o1 on eventstore.orders")
		p.sees("State at version 3, the last", `"city": "Rome"`, `"paid": true`, "Changed since version 2", "OrderPlaced")
		if state := value[string](p, "document.querySelector('pre').innerText"); strings.Contains(state, "floor") {
			t.Errorf("null did not remove a member: %s", state)
		}
		p.click("2")
		p.sees("State at version 2", "address.floor", `"Bonn"`, `"Rome"`)
		if state := value[string](p, "document.querySelector('pre').innerText"); strings.Contains(state, "paid") {
			t.Errorf("the state at version 2 is %s", state)
		}
		p.fill("at", "3")
		p.fill("with", "1")
		p.click("Compare")
		p.sees("State at version 3", "Changed since version 1", "address.city", "paid")
		p.open("/console/aggregate?id=o1&type=Order&channel=eventstore.orders&time=2020-01-01")
		p.sees("Before the first event")
		p.open("/console/aggregate?id=nothing")
		p.sees("No event that you may read belongs to this aggregate")
	})
}

// TestHeldByTheFirst looks at a durable that was sent more than one message: it names the first that is not acknowledged, since an
// acknowledgement of the last would leave the others.
func TestHeldByTheFirst(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-grpc_token", "boss")
	s.token = "boss"
	for i := range 3 {
		s.store(t, "eventstore.orders", order(fmt.Sprintf("o%d", i+1), "OrderPlaced", `{"n":1}`))
	}
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sc, err := stan.Connect("test-cluster", "shop", stan.NatsConn(nc), stan.ConnectWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan struct{}, 10)
	if _, err := sc.Subscribe("eventstore.orders", func(m *stan.Msg) {
		if m.Sequence == 1 {
			_ = m.Ack()
		}
		sent <- struct{}{}
	}, stan.DurableName("d"), stan.SetManualAckMode(), stan.DeliverAllAvailable(), stan.MaxInflight(2), stan.AckWait(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		select {
		case <-sent:
		case <-time.After(harness.Patience):
			t.Fatal("no message")
		}
	}
	got := enter(t, s, "boss").get("/console/consumer?channel=eventstore.orders&client=shop&name=d")
	for _, want := range []string{"2 messages. Look at", "message 2</a>, the first of them", "sequence=2\">skip the message"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing: %s", want, got)
		}
	}
}
