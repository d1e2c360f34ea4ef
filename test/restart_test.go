package test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// A server whose predecessor on this machine was killed does not wait for the predecessor's lease to expire.
func TestTimeOfRestartAfterKill(t *testing.T) {
	const bound = 2 * time.Second // the lease expires after 3 s
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel() // with each other
			source := alone(t, driver)
			s := measured(t, driver, source)
			var took []time.Duration
			for i := range 3 {
				sc := s.connect("client", stan.SetConnectionLostHandler(func(stan.Conn, error) {}))
				publish(t, sc, orders, event(t, "A", "T"))
				sc.NatsConn().Close()
				s.Kill()
				killed := time.Now()
				s.Restart()
				took = append(took, time.Since(killed))
				contiguous(t, driver, source, orders, i+1)
			}
			t.Logf("%s: serves again %v after kill -9", driver, took)
			if m := median(took); *long && m > bound {
				t.Errorf("serves again %v after kill -9, want less than %v", m, bound)
			}
			harness.Verify(t, driver, source)
		})
	}
}

// gate is how a client dials: not while somebody else holds it.
type gate struct{ sync.Mutex }

func (g *gate) Dial(network, address string) (net.Conn, error) {
	g.Lock()
	defer g.Unlock()
	return net.Dial(network, address)
}

// A durable whose client comes back after a restart gets what was published meanwhile, and what it had not acknowledged, when it is
// back, and does not wait for a redelivery.
func TestRestartHoldsDelivery(t *testing.T) {
	t.Parallel()
	const ackWait = time.Hour // nothing comes by a redelivery
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		var g gate
		lost := make(chan struct{}, 1)
		nc, err := nats.Connect(s.URL(), nats.SetCustomDialer(&g), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
			nats.ReconnectJitter(0, 0), nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		sc := s.connect("client", stan.NatsConn(nc), stan.Pings(1, 1000))
		publish(t, sc, orders, event(t, "A", "T"))
		_, in := subscribe(t, sc, orders, stan.DurableName("d"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(ackWait))
		if m := in.next(t); m.Sequence != 1 {
			t.Fatalf("message %d comes, want 1", m.Sequence)
		}
		g.Lock()
		s.Stop()
		await(t, lost, "the end of the connection")
		s.Restart()
		publish(t, s.connect("other"), orders, event(t, "A", "T"), event(t, "A", "T"))
		g.Unlock() // the client comes back now
		back := time.Now()
		missing := map[uint64]bool{2: true, 3: true} // the client holds the first one
		for len(missing) > 0 {
			delete(missing, in.next(t).Sequence)
		}
		t.Logf("%s: everything comes %v after the client is back", driver, time.Since(back))
	})
}
