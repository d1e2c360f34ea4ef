package client

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A replica stands by however long the transaction of the leader takes, which has the row of the lease locked. The database would bear the wait
// for a lock for a second.
func TestStandbyOfLongApply(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	c := server.Client()
	if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "T", AggregateID: "a"}}); err != nil {
		t.Fatal(err)
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		switch driver {
		case "sqlite":
			return // a transaction locks the whole file, so its busy_timeout decides
		case "mysql":
			source += "?innodb_lock_wait_timeout=1"
		}
		db, err := sql.Open(driver, source)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		dialect, err := eventstore.ParseDialect(driver)
		if err != nil {
			t.Fatal(err)
		}
		applying, finish := make(chan struct{}), make(chan struct{})
		p := &eventstore.Projector{Name: "long", DB: db, Dialect: dialect, Lease: 200 * time.Millisecond, Source: c.Source(channel, eventstore.Filter{}),
			Apply: func(context.Context, *sql.Tx, *eventstore.Event) error {
				close(applying)
				<-finish
				return nil
			}}
		first := make(chan error, 1)
		ctx, stop := context.WithCancel(patient(t))
		defer stop()
		go func() { first <- p.Run(ctx) }()
		select {
		case <-applying:
		case err := <-first:
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		replica := *p
		replica.Apply = func(context.Context, *sql.Tx, *eventstore.Event) error { return errors.New("it is applied twice") }
		go func() { ended <- replica.Run(ctx) }()
		select {
		case err := <-ended:
			t.Error("the replica ended:", err)
		case <-time.After(3 * time.Second): // thrice what the database bears
		}
		close(finish)
		if err := p.WaitFor(patient(t), 1); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
