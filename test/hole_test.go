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
	watched = 5 * time.Second // how long a server that has nothing to do is looked at

	// What it may do meanwhile: renew the lease each second, look for what has expired, and look for the next message
	// now and then.
	idleStatements = 100
	idleCPU        = watched / 4
)

// A subscriber whose next messages have all expired waits for the next publish as any other does, and gets it.
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
			// After a restart nothing of the channel is in memory.
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
					t.Errorf("channel %s: message %d comes, want 11", name, m.Sequence)
				}
			}
		})
	}
}

// idles fails the test if a server works although there is nothing to do.
func (s *server) idles(t *testing.T) {
	t.Helper()
	counted, used := 0, s.cpu()
	if s.driver != "sqlite" {
		counted = statements(t, s.driver, s.source)
	}
	time.Sleep(watched) // what is counted is what happens meanwhile
	if s.driver != "sqlite" {
		counted = statements(t, s.driver, s.source) - counted
	}
	used = s.cpu() - used
	t.Logf("%s: %d statements and %v of the processor in %v", s.driver, counted, used, watched)
	if counted > idleStatements {
		t.Errorf("%d statements in %v, in which nothing happened", counted, watched)
	}
	if used > idleCPU {
		t.Errorf("%v of the processor in %v, in which nothing happened", used, watched)
	}
}

// The last events of a channel were erased: subscribers of the API and the relay are behind them once, and wait.
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
		t.Fatal("NATS is not ready")
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
	query(t, driver, source, "ALTER TABLE Messages DISABLE TRIGGER events_are_immutable")
	query(t, driver, source, "DELETE FROM Messages WHERE seq > 2")
	query(t, driver, source, "ALTER TABLE Messages ENABLE TRIGGER events_are_immutable")
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
		t.Errorf("%v comes, want event 21", events)
	}
	eventually(t, func() bool {
		info, err := ns.Jsz(&natsd.JSzOptions{Accounts: true, Streams: true})
		return err == nil && len(info.AccountDetails) > 0 && len(info.AccountDetails[0].Streams) > 0 && info.AccountDetails[0].Streams[0].State.Msgs >= 1
	})
}
