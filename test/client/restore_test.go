package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// fresh returns another empty database of the server's kind.
func (s *server) fresh() string {
	s.t.Helper()
	return map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL}[s.driver](s.t)
}

// use sets the database of the server's next start.
func (s *server) use(source string) {
	for i, arg := range s.Args {
		if arg == "-sql_source" {
			s.Args[i+1] = source
		}
	}
}

// gapOf returns the GapError, or fails the test.
func gapOf(t *testing.T, err error) *eventstore.GapError {
	t.Helper()
	var gap *eventstore.GapError
	if !errors.As(err, &gap) || !errors.Is(err, eventstore.ErrGap) {
		t.Fatalf("error %v, want a GapError", err)
	}
	return gap
}

// A log that goes back behind a reader's checkpoint is an error with a name, while the reader runs and when it starts, also once the log
// has grown beyond the checkpoint again. With the right log, the reader goes on.
func TestRestoredLog(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		port, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		s := &server{harness.Start(t, driver, source, "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port)), t, driver, source}
		c := s.client()
		appendEvents := func(n int) {
			t.Helper()
			for range n {
				if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "T", AggregateID: "a"}}); err != nil {
					t.Fatal(err)
				}
			}
		}
		db, dialect := s.readModel()
		checkpoints := map[string]func(context.Context) (uint64, error){}
		projector := func(name string, from eventstore.Source) func(context.Context) error {
			p := &eventstore.Projector{Name: name, DB: db, Dialect: dialect, Source: from, Apply: func(context.Context, *sql.Tx, *eventstore.Event) error { return nil }}
			checkpoints[name] = p.Checkpoint
			return p.Run
		}
		reactor := func(name string, from eventstore.Source) func(context.Context) error {
			r := &eventstore.Reactor{Name: name, DB: db, Dialect: dialect, Handle: func(context.Context, *eventstore.Event) error { return nil }}
			checkpoints[name] = r.Checkpoint
			return func(ctx context.Context) error { return r.Run(ctx, from) }
		}
		bySequence, byPosition := c.Source(channel, eventstore.Filter{}), c.SourceAll(eventstore.AllOf(eventstore.QueryItem{EventTypes: []string{"T"}}))
		readers := map[string]func(context.Context) error{
			"projector": projector("projector", bySequence), "projector by position": projector("projector by position", byPosition),
			"reactor": reactor("reactor", bySequence), "reactor by position": reactor("reactor by position", byPosition),
		}
		at := func(name string) func() string {
			return func() string {
				checkpoint, err := checkpoints[name](t.Context())
				if err != nil {
					return err.Error()
				}
				return fmt.Sprint(checkpoint)
			}
		}
		appendEvents(10)
		ends := map[string]chan error{}
		for name, run := range readers {
			ended := make(chan error, 1)
			ends[name] = ended
			go func() { ended <- run(patient(t)) }()
			eventually(t, "10", at(name))
		}

		// The same database again: a restart is not a gap.
		s.Stop()
		s.Restart()
		appendEvents(1)
		for name := range readers {
			eventually(t, "11", at(name))
		}

		s.Stop()
		s.use(s.fresh())
		s.Restart()
		appendEvents(3)
		for name, ended := range ends {
			if gap := gapOf(t, <-ended); gap.Checkpoint != 11 || gap.End > 3 || gap.Replaced {
				t.Errorf("%s, while it ran: %+v", name, gap)
			}
		}
		for name, run := range readers {
			if gap := gapOf(t, run(patient(t))); gap.Checkpoint != 11 || gap.End != 3 || gap.Replaced {
				t.Errorf("%s, at its start: %+v", name, gap)
			}
		}
		// The way back that docs/operate/restore.md shows.
		var applied atomic.Int64
		rebuilt := &eventstore.Projector{Name: "projector", DB: db, Dialect: dialect, Source: bySequence,
			Apply: func(context.Context, *sql.Tx, *eventstore.Event) error { applied.Add(1); return nil }}
		if err := rebuilt.Rebuild(patient(t)); err != nil {
			t.Fatal(err)
		}
		reset := &eventstore.Reactor{Name: "reactor", DB: db, Dialect: dialect, Start: eventstore.FromEnd(), Handle: func(_ context.Context, e *eventstore.Event) error {
			applied.Store(int64(100 * e.Sequence))
			return nil
		}}
		if err := reset.Reset(patient(t)); err != nil {
			t.Fatal(err)
		}
		stopReset := running(t, func(ctx context.Context) error { return reset.Run(ctx, bySequence) })
		eventually(t, "3", at("reactor"))
		if got := at("projector")(); got != "3" || applied.Load() != 3 {
			t.Errorf("the rebuilt projection is at %s after %d events", got, applied.Load())
		}
		appendEvents(1)
		eventually(t, "400", func() string { return fmt.Sprint(applied.Load()) })
		if err := stopReset(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		delete(readers, "projector")
		delete(readers, "reactor")
		appendEvents(11)
		for name, run := range readers {
			if gap := gapOf(t, run(patient(t))); gap.Checkpoint != 11 || gap.End != 15 || !gap.Replaced || gap.Channel != channel || gap.Sequence != 11 {
				t.Errorf("%s, on a log that has grown again: %+v", name, gap)
			}
		}

		s.Stop()
		s.use(source)
		s.Restart()
		appendEvents(1)
		for name, run := range readers {
			stop := running(t, run)
			eventually(t, "12", at(name))
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s, on the right log: %v", name, err)
			}
		}
	})
}

// A replay does not go on in a log that does not have what it read.
func TestReplayOfRestoredLog(t *testing.T) {
	t.Parallel()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port)), t, "sqlite", ""}
	c := s.client()
	if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "T", AggregateID: "a"}, {Type: "T", AggregateID: "b"}}); err != nil {
		t.Fatal(err)
	}
	for name, replay := range map[string]func(func(*eventstore.Event) error) error{
		"channel": func(handle func(*eventstore.Event) error) error {
			return c.Replay(patient(t), channel, eventstore.FromSequence(2), eventstore.Filter{}, handle)
		},
		"query": func(handle func(*eventstore.Event) error) error {
			return c.ReplayAll(patient(t), eventstore.Query{}, eventstore.FromPosition(2), handle)
		},
	} {
		before := s.Args
		gap := gapOf(t, replay(func(e *eventstore.Event) error {
			if e.Sequence != 2 {
				return fmt.Errorf("sequence %d", e.Sequence)
			}
			s.Stop()
			s.Args = append([]string(nil), before...)
			s.use(s.fresh())
			s.Restart()
			return nil
		}))
		if gap.Checkpoint != 2 || gap.End != 0 {
			t.Errorf("%s: %+v", name, gap)
		}
		s.Stop()
		s.Args = before
		s.Restart()
	}
}
