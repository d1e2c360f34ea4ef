package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// generations is a read model with tables for each generation: the number of events, times the version.
func generations(t *testing.T, db *sql.DB, dialect eventstore.Dialect, source eventstore.Source, version int) *eventstore.Projector {
	t.Helper()
	return &eventstore.Projector{
		Name: "counts", DB: db, Dialect: dialect, Source: source, Version: version,
		Create: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+eventstore.Table(ctx, "counts")+" (sequence BIGINT, n BIGINT)")
			return err
		},
		Apply: func(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
			_, err := tx.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s VALUES (%d, %d)", eventstore.Table(ctx, "counts"), e.Sequence, version))
			return err
		},
		Drop: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS "+eventstore.Table(ctx, "counts"))
			return err
		},
	}
}

// counted describes what the live generation contains.
func counted(t *testing.T, p *eventstore.Projector) func() string {
	return func() string {
		live, err := p.LiveGeneration(t.Context())
		if err != nil {
			return err.Error()
		}
		var rows, distinct, n int
		err = p.DB.QueryRowContext(t.Context(), "SELECT COUNT(*), COUNT(DISTINCT sequence), COALESCE(SUM(n), 0) FROM "+eventstore.TableOf("counts", live)).Scan(&rows, &distinct, &n)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("generation %d: %d rows, %d events, sum %d", live, rows, distinct, n)
	}
}

// A read model is built anew beside the live one, also after an interruption, and becomes the live one with all events; the projector that
// runs goes on with it. What is no longer live can be dropped.
func TestRebuildBeside(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		const n = 30
		c, accounts := s.client(), s.accounts()
		s.deposit(accounts, "a", n-1)
		db, dialect := s.readModel()
		p := generations(t, db, dialect, c.Source(channel, eventstore.Filter{}), 1)
		stop := running(t, p.Run)
		eventually(t, fmt.Sprintf("generation 1: %d rows, %d events, sum %d", n, n, n), counted(t, p))

		// A rebuild that fails in the middle leaves the live generation alone.
		crash := errors.New("crash")
		p2 := generations(t, db, dialect, p.Source, 1)
		p2.BatchEvents = 1
		right := p2.Apply
		p2.Apply = func(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
			if e.Sequence == n/2 {
				return crash
			}
			return right(ctx, tx, e)
		}
		if err := p2.Rebuild(patient(t)); !errors.Is(err, crash) {
			t.Fatal(err)
		}
		s.depositMore(accounts, "a", 1)
		eventually(t, fmt.Sprintf("generation 1: %d rows, %d events, sum %d", n+1, n+1, n+1), counted(t, p))
		p2.Apply = right
		if err := p2.Rebuild(patient(t)); err != nil {
			t.Fatal(err)
		}
		if got, want := counted(t, p)(), fmt.Sprintf("generation 2: %d rows, %d events, sum %d", n+1, n+1, n+1); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		s.depositMore(accounts, "a", 1)
		eventually(t, fmt.Sprintf("generation 2: %d rows, %d events, sum %d", n+2, n+2, n+2), counted(t, p))
		if err := p.DropOld(patient(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(patient(t), "SELECT 1 FROM counts_1"); err == nil {
			t.Error("the table of the old generation is still there")
		}
		s.depositMore(accounts, "a", 1)
		eventually(t, fmt.Sprintf("generation 2: %d rows, %d events, sum %d", n+3, n+3, n+3), counted(t, p))
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A program with a later version builds its generation while the earlier program serves the live one. Then the earlier program stops.
func TestNewVersion(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c, accounts := s.client(), s.accounts()
		s.deposit(accounts, "a", 9)
		db, dialect := s.readModel()
		source := c.Source(channel, eventstore.Filter{})
		old := generations(t, db, dialect, source, 1)
		var live atomic.Int64
		old.Live = func(ctx context.Context, _ *sql.Tx) error { live.Store(int64(eventstore.Generation(ctx))); return nil }
		ended := make(chan error, 1)
		go func() { ended <- old.Run(patient(t)) }()
		eventually(t, "generation 1: 10 rows, 10 events, sum 10", counted(t, old))

		later := generations(t, db, dialect, source, 3)
		later.Live = old.Live
		stopLater := running(t, later.Run)
		replica := *later
		stopReplica := running(t, replica.Run)
		s.depositMore(accounts, "a", 1)
		eventually(t, "generation 2: 11 rows, 11 events, sum 33", counted(t, old))
		if live.Load() != 2 {
			t.Errorf("Live was called for generation %d", live.Load())
		}
		if err := <-ended; !errors.Is(err, eventstore.ErrSuperseded) {
			t.Errorf("the program of the earlier version: %v", err)
		}
		if err := old.Run(patient(t)); !errors.Is(err, eventstore.ErrSuperseded) {
			t.Errorf("a program of the earlier version that starts: %v", err)
		}
		if err := old.Rebuild(patient(t)); !errors.Is(err, eventstore.ErrSuperseded) {
			t.Error(err)
		}
		for _, stop := range []func() error{stopLater, stopReplica} {
			s.depositMore(accounts, "a", 1)
			if err := stop(); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		ctx, stop := context.WithCancel(patient(t))
		later.CaughtUp = stop
		if err := later.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if got, want := counted(t, later)(), "generation 2: 13 rows, 13 events, sum 39"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// A projector that is running begins anew after a reset.
func TestResetOfRunning(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		s.deposit(accounts, "a", 10)
		db, dialect := s.readModel()
		p := totals(t, db, dialect, "totals", s.client().Source(channel, eventstore.Filter{}))
		stop := running(t, p.Run)
		eventually(t, total(10), readTotals(t, db, "totals"))
		if err := p.Reset(patient(t), func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "UPDATE totals SET events = 0, cents = 0")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		s.depositMore(accounts, "a", 11)
		eventually(t, total(11), readTotals(t, db, "totals"))
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
