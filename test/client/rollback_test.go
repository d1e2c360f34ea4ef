package client

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// A program that is rolled back leaves its version half built. The earlier versions build theirs all the same.
func TestRolledBackVersion(t *testing.T) {
	t.Parallel()
	server, db := eventstoretest.Start(t), eventstoretest.Database(t)
	c := server.Client()
	for range 10 {
		if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "T", AggregateID: "a"}}); err != nil {
			t.Fatal(err)
		}
	}
	version := func(n int) *eventstore.Projector {
		p := generations(t, db, eventstore.SQLite, c.Source(channel, eventstore.Filter{}), n)
		p.Lease = 50 * time.Millisecond
		return p
	}
	eventstoretest.Project(t, version(1))
	broken := errors.New("broken")
	bad := version(3)
	bad.Apply = func(context.Context, *sql.Tx, *eventstore.Event) error { return broken }
	if err := bad.Run(patient(t)); !errors.Is(err, broken) {
		t.Fatal(err)
	}

	if err := version(1).Rebuild(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := counted(t, version(1))(), "generation 3: 10 rows, 10 events, sum 10"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := bad.Run(patient(t)); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	eventstoretest.Project(t, version(2))
	if got, want := counted(t, version(2))(), "generation 5: 10 rows, 10 events, sum 20"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
