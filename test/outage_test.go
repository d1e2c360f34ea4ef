package test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// outage is one way in which a database fails, and how it recovers.
type outage struct {
	name       string
	begin, end func() error
}

// Promise 9: while the database is unavailable, publishers get a clear error and subscribers wait. When it returns, the
// server continues where it was.
func TestOutageIsNoCrash(t *testing.T) {
	t.Parallel()
	for _, kind := range []databases.Kind{databases.KindPostgres, databases.KindMySQL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			db := databases.Own(t, kind)
			source := db.DSN("events")
			if err := db.CreateDatabase("events"); err != nil {
				t.Fatal(err)
			}
			outages(t, string(kind), source, func(*harness.Server) []outage {
				return []outage{
					{"killed", db.Kill, db.Restart},
					{"restarted", db.Shutdown, db.Restart},
					// The database accepts connections but does not answer.
					{"paused", db.Pause, db.Resume},
				}
			})
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		source := databases.SQLite(t)
		db, err := sql.Open("sqlite", source+"?_pragma=busy_timeout(10000)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		db.SetMaxOpenConns(1)
		execute := func(text string) func() error {
			return func() error {
				_, err := db.ExecContext(context.Background(), text)
				return err
			}
		}
		outages(t, "sqlite", source, func(s *harness.Server) []outage {
			return []outage{
				{"locked", execute("BEGIN EXCLUSIVE"), execute("ROLLBACK")},
				{"full", func() error { return s.Process.LimitFiles(4096) }, func() error { return s.Process.LimitFiles(process.Unlimited) }},
			}
		})
	})
}

func outages(t *testing.T, driver, source string, of func(*harness.Server) []outage) {
	s := start(t, driver, source, "-store_timeout", "1s", "-m", "-1")
	s.health("/readyz", 200, "ok")
	// The publisher gets the error shortly after -store_timeout, not after the 35 s that a driver may wait.
	sc := s.connect("client", stan.PubAckWait(25*time.Second))
	_, in := subscribe(t, sc, orders, stan.DurableName("d"), stan.DeliverAllAvailable())
	publish(t, sc, orders, event(t, "A", "T", withID("1")), event(t, "A", "T", withID("2")))
	var want []string
	for i := range 2 {
		want = append(want, fmt.Sprintf("%d|%d", i+1, i+1))
	}
	for _, o := range of(s.Server) {
		if err := o.begin(); err != nil {
			t.Fatal(err)
		}
		during := event(t, "A", "T", withID("during "+o.name))
		for i := range 2 {
			err := sc.Publish(orders, during)
			if err == nil || !strings.HasPrefix(err.Error(), "stan: ") || !strings.Contains(err.Error(), "the database is unavailable") {
				t.Errorf("%s: publish %d: error %v", o.name, i, err)
			}
		}
		s.health("/healthz", 200, "ok")
		s.health("/readyz", 503, "the database")
		// Publishes wait together, not one after another, even those that create a channel.
		const channels = 15
		answers := make(chan error, channels)
		for i := range channels {
			_, err := sc.PublishAsync(fmt.Sprintf("eventstore.new-%s-%d", o.name, i), during, func(_ string, err error) { answers <- err })
			if err != nil {
				t.Fatal(err)
			}
		}
		for range channels {
			if err := <-answers; err == nil || !strings.Contains(err.Error(), "the database is unavailable") {
				t.Errorf("%s: publish to a new channel: error %v", o.name, err)
			}
		}
		for _, channel := range []string{orders, "eventstore.new-" + o.name} {
			if _, err := sc.Subscribe(channel, func(*stan.Msg) {}); err == nil || !strings.Contains(err.Error(), "the database is unavailable") {
				t.Errorf("%s: subscribe to %q: error %v", o.name, channel, err)
			}
		}
		if err := o.end(); err != nil {
			t.Fatal(err)
		}
		s.health("/readyz", 200, "ok")
		// The publisher retries with the same event_id, so the outcome of its first attempt does not matter.
		for {
			err := sc.Publish(orders, during)
			if err == nil {
				break
			}
			if !strings.Contains(err.Error(), "the database is unavailable") {
				t.Fatalf("%s: %v", o.name, err)
			}
		}
		publish(t, sc, orders, event(t, "A", "T", withID("after "+o.name)))
		for _, when := range []string{"during ", "after "} {
			want = append(want, fmt.Sprintf("%d|%s", len(want)+1, when+o.name))
		}
	}
	for i := range want {
		if got := in.next(t); got.Sequence != uint64(i+1) {
			t.Fatalf("got %d, want %d", got.Sequence, i+1)
		}
	}
	contiguous(t, driver, source, orders, len(want))
	versions := query(t, driver, source, "SELECT event_version, event_id FROM events WHERE aggregate_id = 'A' AND aggregate_type = 'order' ORDER BY event_version")
	if !slices.Equal(versions, want) {
		t.Errorf("events %q, want %q", versions, want)
	}
	harness.Verify(t, driver, source)
}
