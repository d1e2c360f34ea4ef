package test

import (
	"context"
	"fmt"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/stan.go"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

const (
	watched = 5 * time.Second // how long an idle server is observed

	// An idle server renews the lease every second, and occasionally looks for expired and for new messages.
	idleStatements = 100
	idleCPU        = watched / 4
)

// A subscriber whose next messages have all expired waits for the next publish and receives it.
func TestHoleOfExpiredMessages(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			source := alone(t, driver)
			s := measured(t, driver, source, "-c", config(t, `limits { max_age: "1s" }`))
			sc := s.connect("client")
			for _, name := range []string{"a", "b"} {
				sub, _ := subscribe(t, sc, name, stan.DurableName("d"))
				if err := sub.Close(); err != nil {
					t.Fatal(err)
				}
				fill(t, sc, name, 10)
			}
			eventually(t, func() bool { return query(t, driver, source, "SELECT COUNT(*) FROM Messages")[0] == "0" })
			_, in := subscribe(t, sc, "a", stan.DurableName("d"))
			// After a restart, nothing of the channel is in memory.
			s.idles(t)
			s.Stop()
			s.Restart()
			sc = s.connect("client-2")
			_, after := subscribe(t, sc, "b", stan.DurableName("e"), stan.StartAtSequence(3))
			s.idles(t)
			publish(t, sc, "a", nil)
			publish(t, sc, "b", nil)
			for name, in := range map[string]inbox{"a": in, "b": after} {
				if m := in.next(t); m.Sequence != 11 {
					t.Errorf("channel %s: received message %d, want 11", name, m.Sequence)
				}
			}
		})
	}
}

// idles fails the test if a server keeps working although nothing happens. What it began before, a slow machine may still finish.
func (s *server) idles(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		counted, used := s.watch(t)
		t.Logf("%s: %d statements and %v of processor time in %v", s.driver, counted, used, watched)
		if counted <= idleStatements && used <= idleCPU {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d statements and %v of processor time in %v without any request", counted, used, watched)
		}
	}
}

// watch returns how many statements a server sends, and how much processor time it takes, while it is watched.
func (s *server) watch(t *testing.T) (counted int, used time.Duration) {
	t.Helper()
	used = s.cpu()
	if s.driver != "sqlite" {
		counted = statements(t, s.driver, s.source)
	}
	time.Sleep(watched) // the observation itself
	if s.driver != "sqlite" {
		counted = statements(t, s.driver, s.source) - counted
	}
	return counted, s.cpu() - used
}

// When the last events of a channel are erased, subscribers of the API and the relay skip the gap once, then wait.
func TestHoleOfErasedEvents(t *testing.T) {
	t.Parallel()
	const driver = "postgres"
	source := alone(t, driver)
	ns, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(patience) {
		t.Fatal("the NATS server did not start")
	}
	s, url := measuredAPI(t, driver, source, "-ns", ns.ClientURL())
	dial := func() stan.Conn {
		sc, err := stan.Connect("test-cluster", "client", stan.NatsURL(ns.ClientURL()), stan.ConnectWait(patience))
		if err != nil {
			t.Fatal(err)
		}
		return sc
	}
	sc := dial()
	for i := range 20 {
		publish(t, sc, orders, event(t, fmt.Sprint(i), "T"))
	}
	if err := sc.Close(); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	query(t, driver, source, "ALTER TABLE Messages DISABLE TRIGGER events_are_not_deleted")
	query(t, driver, source, "DELETE FROM Messages WHERE seq > 2")
	query(t, driver, source, "ALTER TABLE Messages ENABLE TRIGGER events_are_not_deleted")
	s.Args = append(s.Args, "-c", config(t, `routes { stream: ORDERS, subject: "ORDERS.{event_type}" }`))
	s.Restart()

	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	stream, err := dialAPI(t, url).Subscribe(ctx, &eventstorev1.SubscribeRequest{Channel: orders})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for !stream.Msg().GetCaughtUp() {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
	}
	if at := stream.Msg().GetCheckpoint(); at != 20 {
		t.Errorf("caught up at %d, want 20", at)
	}
	s.idles(t)
	sc = dial()
	defer func() { _ = sc.Close() }()
	publish(t, sc, orders, event(t, "last", "T"))
	for stream.Msg().GetCheckpoint() < 21 {
		if !stream.Receive() {
			t.Fatal(stream.Err())
		}
	}
	if events := stream.Msg().GetEvents(); len(events) != 1 || events[0].GetSequence() != 21 {
		t.Errorf("received %v, want event 21", events)
	}
	eventually(t, func() bool {
		info, err := ns.Jsz(&natsd.JSzOptions{Accounts: true, Streams: true})
		return err == nil && len(info.AccountDetails) > 0 && len(info.AccountDetails[0].Streams) > 0 && info.AccountDetails[0].Streams[0].State.Msgs >= 1
	})
}
