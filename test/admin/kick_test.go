package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestKick: a kicked client loses its connection, its durable keeps its position, and whoever takes the ID goes on there.
func TestKick(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		s.append(t, orders, "e1", "e2", "e3")
		lost := make(chan error, 1)
		sc := s.connect(t, "worker", stan.Pings(1, 3), stan.SetConnectionLostHandler(func(_ stan.Conn, err error) { lost <- err }))
		s.connect(t, "bystander")
		in := make(inbox, 10)
		subscribe := func(sc stan.Conn) {
			t.Helper()
			_, err := sc.Subscribe(orders, func(msg *stan.Msg) { in <- msg }, stan.DurableName("mine"), stan.SetManualAckMode(), stan.DeliverAllAvailable(), stan.MaxInflight(1))
			if err != nil {
				t.Fatal(err)
			}
		}
		subscribe(sc)
		in.sequences(t, 1)
		if seq := in.next(t).Sequence; seq != 2 {
			t.Fatalf("got message %d, want 2", seq)
		}
		mine := m{"channel": orders, "client": "worker", "name": "mine"}
		s.refused(t, "DropConsumer", mine, "failed_precondition", "has active members")
		s.do(t, "KickClient", m{"client": "worker", "reason": "hangs"})
		s.refused(t, "KickClient", m{"client": "worker"}, "not_found", `"worker": unknown client`)
		if members := s.consumer(t, mine)["members"].([]any); len(members) != 1 || members[0].(m)["offline"] != true {
			t.Errorf("members of the durable: %v", members)
		}
		if clients := s.do(t, "ListClients", m{})["clients"].([]any); len(clients) != 1 || clients[0].(m)["client"] != "bystander" {
			t.Errorf("clients: %v", clients)
		}
		select {
		case err := <-lost:
			if err == nil || !strings.Contains(err.Error(), "client has been replaced or is no longer registered") {
				t.Errorf("the connection was lost: %v", err)
			}
		case <-time.After(harness.Patience):
			t.Error("the client did not learn that it was kicked")
		}
		if n := strings.Count(s.Log.String(), "Administration action=kick target=worker"); n != 1 {
			t.Errorf("%d lines of the log are about the kick", n)
		}
		subscribe(s.connect(t, "worker"))
		in.sequences(t, 2, 3)
	})
}
