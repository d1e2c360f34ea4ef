package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// testRowsGone: nothing is stored without the row of the lease or of the channel, in whatever form the batch travels.
func testRowsGone(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	channel(t, s, "c")
	db := raw(t, o)
	for _, table := range []string{"StoreLock", "Channels"} {
		for _, n := range []int{1, 2} {
			message := stores.Append{Channel: s.Channel("c"), Payload: []byte("x")}
			appendAll(t, s, message)
			exec(t, db, fmt.Sprintf("CREATE TABLE kept_%s AS SELECT * FROM %[1]s", table))
			exec(t, db, "DELETE FROM "+table)
			state := func() string {
				return queryText(t, db, "SELECT COUNT(*) FROM Messages") + "," + queryText(t, db, "SELECT SUM(maxseq) FROM Channels") + "," + queryText(t, db, "SELECT SUM(position) FROM StoreLock")
			}
			before := state()
			results, err := s.Append(testContext(t), slices.Repeat([]stores.Append{message}, n))
			want := stores.ErrRefused
			if table == "StoreLock" {
				want = stores.ErrFenced
				expectError(t, err, want)
			}
			for _, r := range results {
				expectError(t, r.Err, want)
			}
			if after := state(); after != before {
				t.Errorf("%d messages without %s: messages, sequence, position were %s, are %s", n, table, before, after)
			}
			exec(t, db, fmt.Sprintf("INSERT INTO %s SELECT * FROM kept_%[1]s", table))
			exec(t, db, "DROP TABLE kept_"+table)
			s, _ = restart(t, s, o)
		}
	}
}

// testChannelMoved: a batch that finds its channel elsewhere writes nothing, so that no position is left out: it is planned anew.
func testChannelMoved(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	db := raw(t, o)
	appendAll(t, s, event{aggregate: "a"}.on(t, c))
	for n := uint64(1); n < 3; n++ {
		exec(t, db, "UPDATE Channels SET maxseq = maxseq + 5")
		var all []stores.Append
		for range n {
			all = append(all, event{aggregate: "a"}.on(t, c))
		}
		before := s.Position()
		for i, position := range positions(appendAll(t, s, all...)) {
			if want := before + uint64(i) + 1; position != want {
				t.Errorf("%d events: position %d, want %d", n, position, want)
			}
		}
	}
}

// testInterrupted: a batch that waits for a lock of somebody else ends with its context, and leaves no lock behind.
func testInterrupted(t *testing.T, o stores.Options) {
	if o.Driver == "sqlite" {
		return // a change waits for nothing once its transaction has begun
	}
	o.StatementTimeout = time.Hour // the database does not end it
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	db := raw(t, o)
	message := []stores.Append{{Channel: c, Payload: []byte("x")}}
	appendAll(t, s, message...)
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		},
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		},
	} {
		tx, err := db.BeginTx(testContext(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(testContext(t), "UPDATE Channels SET msgs = msgs"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := end(testContext(t))
		_, err = s.Append(ctx, message)
		cancel()
		expectError(t, err, stores.ErrUnavailable)
		if o.Driver == "postgres" { // MySQL and MariaDB do not notice that a connection has ended
			patience := testContext(t)
			for queryText(t, db, "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") != "0" {
				if patience.Err() != nil {
					t.Fatalf("%s: the batch still waits in the database", name)
				}
			}
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		appendAll(t, s, message...)
	}
	readAll(t, s, c)
}
