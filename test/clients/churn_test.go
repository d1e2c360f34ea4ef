package clients

import (
	"database/sql"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// go test ./test/clients -run TestConnectsAndCloses -args -connects 10000
var connects = flag.Int("connects", 200, "number of clients that come and go")

// Clients that connect, subscribe, publish and close leave no goroutine, no NATS subscription and no row behind.
func TestConnectsAndCloses(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source, "-m", "-1")
		const workers = 8
		round := func(n int) time.Duration {
			var wg sync.WaitGroup
			start := time.Now()
			for w := range workers {
				nc, err := nats.Connect(s.URL()) // closing it ends the inboxes that stan.go leaves
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				wg.Go(func() {
					for i := range n / workers {
						sc, err := stan.Connect("test-cluster", fmt.Sprintf("c-%d-%d", w, i), stan.NatsConn(nc), stan.ConnectWait(harness.Patience))
						if err != nil {
							t.Error(err)
							return
						}
						if _, err := sc.Subscribe(channel, func(*stan.Msg) {}); err != nil {
							t.Error(err)
						}
						if err := sc.Publish(channel, []byte("x")); err != nil {
							t.Error(err)
						}
						if err := sc.Close(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			return time.Since(start)
		}
		goroutines, subs := metric(t, s, "go_goroutines"), natsSubscriptions(t, s)
		first := round(*connects / 2)
		second := round(*connects / 2)
		t.Logf("%d clients in %v, the same number in %v; resident memory %.0f MB", *connects/2, first.Round(time.Millisecond), second.Round(time.Millisecond),
			metric(t, s, "process_resident_memory_bytes")/1e6)
		eventually(t, func() error {
			if now := metric(t, s, "go_goroutines"); now > goroutines+40 { // database connections come and go
				return fmt.Errorf("%v goroutines, %v before", now, goroutines)
			}
			return differs("NATS subscriptions", natsSubscriptions(t, s), subs)
		})
		if left := subscriptions(t, s); len(left) > 0 {
			t.Errorf("subscriptions are left: %v", left)
		}
		for _, table := range []string{"Clients", "Subscriptions", "SubsPending", "Consumers", "ConsumersPending"} {
			if n := count(t, driver, source, table); n > 0 {
				t.Errorf("%s: %d rows are left", table, n)
			}
		}
	})
}

func natsSubscriptions(t *testing.T, s *harness.Server) float64 {
	t.Helper()
	var n float64
	body := get(t, s, "/subsz")
	if _, err := fmt.Sscanf(after(body, `"num_subscriptions":`), "%f", &n); err != nil {
		t.Fatal(err, body)
	}
	return n
}

func count(t *testing.T, driver, source, table string) int {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
