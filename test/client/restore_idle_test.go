package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// A reader that has not received an event since its start notices a restore, although the log has grown beyond its checkpoint before it reads
// on: the checkpoint names the event that was handled last.
func TestRestoredLogOfIdleReader(t *testing.T) {
	t.Parallel()
	type reader struct {
		run        func(context.Context) error
		checkpoint func(context.Context) (uint64, error)
	}
	projector := func(db *sql.DB, source eventstore.Source) reader {
		p := &eventstore.Projector{Name: "idle", DB: db, Dialect: eventstore.SQLite, Source: source,
			Apply: func(context.Context, *sql.Tx, *eventstore.Event) error { return nil }}
		return reader{p.Run, p.Checkpoint}
	}
	reactor := func(db *sql.DB, source eventstore.Source) reader {
		r := &eventstore.Reactor{Name: "idle", DB: db, Dialect: eventstore.SQLite, Handle: func(context.Context, *eventstore.Event) error { return nil }}
		return reader{func(ctx context.Context) error { return r.Run(ctx, source) }, r.Checkpoint}
	}
	bySequence := func(c *eventstore.Client) eventstore.Source { return c.Source(channel, eventstore.Filter{}) }
	byPosition := func(c *eventstore.Client) eventstore.Source { return c.SourceAll(eventstore.Query{}) }
	for name, it := range map[string]struct {
		kind   func(*sql.DB, eventstore.Source) reader
		source func(*eventstore.Client) eventstore.Source
	}{"projector": {projector, bySequence}, "reactor": {reactor, bySequence}, "projector by position": {projector, byPosition}, "reactor by position": {reactor, byPosition}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := eventstoretest.Start(t)
			store := func(ctx context.Context, c *eventstore.Client, n int) error {
				var events []eventstore.NewEvent
				for range n {
					events = append(events, eventstore.NewEvent{Type: "T", AggregateID: "a"})
				}
				_, err := c.Append(ctx, channel, events)
				return err
			}
			c, db := server.Client(), eventstoretest.Database(t)
			if err := store(patient(t), c, 3); err != nil {
				t.Fatal(err)
			}
			three := server.Snapshot()
			if err := store(patient(t), c, 4); err != nil {
				t.Fatal(err)
			}
			grown := server.Snapshot() // the backup of three events, and others after it
			server.Restore(three)
			if err := store(patient(t), c, 2); err != nil {
				t.Fatal(err)
			}
			one := it.kind(db, it.source(c))
			stop := running(t, one.run)
			eventually(t, "5 <nil>", func() string { return fmt.Sprint(one.checkpoint(t.Context())) })
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}

			// The next run checks the log, subscribes, and has nothing to do. The subscription after that comes when the log has grown.
			gate := eventstoretest.NewGate()
			server.Inject(eventstoretest.Subscribe, 1, eventstoretest.Rival(func(context.Context, *eventstore.Client) error { return nil }))
			server.Inject(eventstoretest.Subscribe, 1, eventstoretest.Hold(gate))
			ended := make(chan error, 1)
			go func() { ended <- it.kind(db, it.source(c)).run(patient(t)) }()
			select {
			case <-gate.Reached():
			case err := <-ended:
				t.Fatal(err)
			}
			server.Restore(grown)
			if gap := gapOf(t, <-ended); gap.Checkpoint != 5 || gap.End != 7 || !gap.Replaced {
				t.Errorf("%+v", gap)
			}
		})
	}
}
