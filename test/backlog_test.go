package test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// Publishes that wait for an unavailable database are refused together after -store_timeout, no matter how many there
// are. They do not delay a stop.
func TestBacklogOfAnOutage(t *testing.T) {
	const (
		publishes    = 4000
		storeTimeout = 2 * time.Second
	)
	bound := refusalBound(storeTimeout)
	for _, driver := range []string{"sqlite", "postgres", "mysql"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel() // only with each other
			source := alone(t, driver)
			s := measured(t, driver, source, "-store_timeout", storeTimeout.String())
			// burst publishes while the database is locked. It returns the channel of answers and when the last publish
			// was sent.
			burst := func(sc stan.Conn) (<-chan error, time.Time) {
				answers := make(chan error, publishes)
				for i := range publishes {
					e := event(t, fmt.Sprint("order-", i), "OrderCreated")
					if _, err := sc.PublishAsync(orders, e, func(_ string, err error) { answers <- err }); err != nil {
						t.Fatal(err)
					}
				}
				return answers, time.Now()
			}
			client := func(id string) stan.Conn {
				return s.connect(id, stan.MaxPubAcksInflight(publishes), stan.PubAckWait(2*patience), stan.SetConnectionLostHandler(func(stan.Conn, error) {}))
			}
			sc := client("client")
			publish(t, sc, orders, event(t, "first", "OrderCreated"))

			unlock := lock(t, driver, source)
			answers, sent := burst(sc)
			for range publishes {
				if err := <-answers; err == nil || !strings.Contains(err.Error(), "the database is unavailable") {
					t.Fatalf("error %v", err)
				}
			}
			took := time.Since(sent)
			t.Logf("%s: %d publishes were refused within %v, -store_timeout is %v", driver, publishes, took, storeTimeout)
			if took > bound {
				t.Errorf("the last refusal came after %v, -store_timeout is %v", took, storeTimeout)
			}
			unlock()
			for { // nothing refused is stored; refusals stop soon after the lock ends
				err := sc.Publish(orders, event(t, "second", "OrderCreated", withID("second")))
				if err == nil {
					break
				}
				if !strings.Contains(err.Error(), "the database is unavailable") {
					t.Fatal(err)
				}
			}
			if got := query(t, driver, source, "SELECT COUNT(*) FROM events WHERE event_id = 'second'")[0]; got != "1" {
				t.Errorf("%s rows of one event", got)
			}

			unlock = lock(t, driver, source)
			_, sent = burst(sc)
			s.Process.Signal(syscall.SIGTERM)
			select {
			case <-s.Process.Done():
			case <-time.After(patience):
				t.Fatal("SIGTERM did not end the server")
			}
			took = time.Since(sent)
			t.Logf("%s: SIGTERM during the backlog took %v", driver, took)
			if took > bound {
				t.Errorf("SIGTERM took %v, -store_timeout is %v", took, storeTimeout)
			}
			unlock()
			s.Restart()
			publish(t, client("client-2"), orders, event(t, "third", "OrderCreated"))
			harness.Verify(t, driver, source)
		})
	}
}

// Clients that connect while the database is unavailable are refused together, too.
func TestBacklogOfConnects(t *testing.T) {
	const (
		clients      = 8000
		storeTimeout = 2 * time.Second
	)
	bound := refusalBound(storeTimeout)
	source := alone(t, "sqlite")
	s := measured(t, "sqlite", source, "-store_timeout", storeTimeout.String())
	nc := natsConn(t, s.URL())
	answers := make(chan *nats.Msg, clients)
	inbox := nats.NewInbox()
	if _, err := nc.ChanSubscribe(inbox, answers); err != nil {
		t.Fatal(err)
	}
	unlock := lock(t, "sqlite", source)
	defer unlock()
	for i := range clients {
		id := fmt.Sprint("client-", i)
		req, err := (&pb.ConnectRequest{ClientID: id, HeartbeatInbox: "_INBOX." + id}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.PublishRequest("_STAN.discover.test-cluster", inbox, req); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	sent := time.Now()
	for range clients {
		select {
		case m := <-answers:
			var resp pb.ConnectResponse
			if err := resp.Unmarshal(m.Data); err != nil || !strings.Contains(resp.Error, "the database is unavailable") {
				t.Fatalf("answer %+v, %v", resp, err)
			}
		case <-time.After(patience):
			t.Fatal("a client did not get an answer")
		}
	}
	if took := time.Since(sent); took > bound {
		t.Errorf("the last refusal came after %v, -store_timeout is %v", took, storeTimeout)
	}
}

// refusalBound is how long refusals in an outage may take altogether. What CI runs on may pause, but not for as long as the
// timeouts of all batches in a row take.
func refusalBound(storeTimeout time.Duration) time.Duration {
	if *long {
		return 3 * storeTimeout
	}
	return 8 * storeTimeout
}
