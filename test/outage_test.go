package test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// Promise 9: while the database is away publishers get a clear error, subscribers wait, and the server goes on where it
// was when it is back.
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
			outage(t, string(kind), source,
				func() error { return db.Kill() },
				func() error { return db.Restart() })
		})
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		source := databases.SQLite(t)
		var lock *sql.Conn
		outage(t, "sqlite", source, func() (err error) {
			// Somebody locks the file and does not let go.
			db, err := sql.Open("sqlite", source+"?_pragma=busy_timeout(10000)")
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = db.Close() })
			if lock, err = db.Conn(context.Background()); err != nil {
				return err
			}
			_, err = lock.ExecContext(context.Background(), "BEGIN EXCLUSIVE")
			return err
		}, func() error {
			_, err := lock.ExecContext(context.Background(), "ROLLBACK")
			return err
		})
	})
}

func outage(t *testing.T, driver, source string, begin, end func() error) {
	s := start(t, driver, source, "-store_timeout", "1s", "-m", "-1")
	s.health("/readyz", 200, "ok")
	sc := s.connect("client")
	_, in := subscribe(t, sc, orders, stan.DurableName("d"), stan.DeliverAllAvailable())
	publish(t, sc, orders, event(t, "A", "T", withID("1")), event(t, "A", "T", withID("2")))
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		err := sc.Publish(orders, event(t, "A", "T", withID("during")))
		if err == nil || !strings.HasPrefix(err.Error(), "stan: ") || !strings.Contains(err.Error(), "unavailable") {
			t.Errorf("publish %d during the outage: error %v", i, err)
		}
	}
	s.health("/healthz", 200, "ok")
	s.health("/readyz", 503, "the database has not confirmed the lease for ")
	if err := end(); err != nil {
		t.Fatal(err)
	}
	s.health("/readyz", 200, "ok")
	// The publisher retries with the same event_id, so that it does not matter what became of the first.
	for {
		err := sc.Publish(orders, event(t, "A", "T", withID("during")))
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "unavailable") {
			t.Fatal(err)
		}
	}
	publish(t, sc, orders, event(t, "A", "T", withID("after")))
	for want := uint64(1); want <= 4; want++ {
		if got := in.next(t); got.Sequence != want {
			t.Fatalf("got %d, want %d", got.Sequence, want)
		}
	}
	contiguous(t, driver, source, orders, 4)
	versions := query(t, driver, source, "SELECT event_version, event_id FROM events WHERE aggregate_id = 'A' AND aggregate_type = 'order' ORDER BY event_version")
	if got, want := fmt.Sprint(versions), "[1|1 2|2 3|during 4|after]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	harness.Verify(t, driver, source)
}
