package client

import (
	"errors"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// After a restore, the live generation is ahead of the log, for good if nothing is stored any more. A generation that is built from the
// log takes its place all the same.
func TestRebuildFromRestoredLog(t *testing.T) {
	t.Parallel()
	server := eventstoretest.Start(t)
	c := server.Client()
	appendEvents := func(n int) {
		t.Helper()
		for range n {
			if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "T", AggregateID: "a"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	appendEvents(3)
	backup := server.Snapshot()
	appendEvents(7)
	p := generations(t, eventstoretest.Database(t), eventstore.SQLite, c.Source(channel, eventstore.Filter{}), 1)
	eventstoretest.Project(t, p)
	server.Restore(backup)
	if err := p.Run(patient(t)); !errors.Is(err, eventstore.ErrGap) {
		t.Fatalf("error %v, want ErrGap", err)
	}
	if err := p.Rebuild(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got, want := counted(t, p)(), "generation 2: 3 rows, 3 events, sum 3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	appendEvents(1)
	eventstoretest.Project(t, p)
	if got, want := counted(t, p)(), "generation 2: 4 rows, 4 events, sum 4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
