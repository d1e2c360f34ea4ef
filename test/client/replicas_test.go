package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// replica returns a copy of a projector that counts the events that it applies.
func replica(p *eventstore.Projector) (*eventstore.Projector, *atomic.Int64) {
	applied := new(atomic.Int64)
	one := *p
	one.Apply = func(ctx context.Context, tx *sql.Tx, event *eventstore.Event) error {
		applied.Add(1)
		return p.Apply(ctx, tx, event)
	}
	return &one, applied
}

// Of the replicas of a projector, one makes the read model and the others wait. Another takes over when it stops.
func TestReplicasOfProjector(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		s.deposit(accounts, "a", 5)
		db, dialect := s.readModel()
		p := totals(t, db, dialect, "totals", s.client().Source(channel, eventstore.Filter{}))
		first, byFirst := replica(p)
		second, bySecond := replica(p)
		stopFirst := running(t, first.Run)
		eventually(t, total(5), readTotals(t, db, "totals"))
		stopSecond := running(t, second.Run)
		s.depositMore(accounts, "a", 6)
		eventually(t, total(6), readTotals(t, db, "totals"))
		if n := bySecond.Load(); n != 0 {
			t.Errorf("the replica without the lease applied %d events", n)
		}
		if progress, err := p.Progress(patient(t)); err != nil || !progress.Leader || progress.Lag != 0 || progress.Checkpoint != 7 || progress.End != 7 {
			t.Errorf("progress %+v, %v", progress, err)
		}
		if err := stopFirst(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.depositMore(accounts, "a", 7)
		if err := p.WaitFor(patient(t), 8); err != nil {
			t.Fatal(err)
		}
		if got := readTotals(t, db, "totals")(); got != total(7) || byFirst.Load() != 7 || bySecond.Load() != 1 {
			t.Errorf("%s, the replicas applied %d and %d", got, byFirst.Load(), bySecond.Load())
		}
		if err := stopSecond(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A replica that hangs keeps its lease only while it has the row locked or renews it. What it did without the lease is not committed.
func TestLostLease(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		accounts := s.accounts()
		s.deposit(accounts, "a", 5)
		db, dialect := s.readModel()
		p := totals(t, db, dialect, "totals", s.client().Source(channel, eventstore.Filter{}))
		p.Lease = time.Hour
		defer running(t, p.Run)() //nolint:errcheck // ends with the test
		eventually(t, total(5), readTotals(t, db, "totals"))
		// As if another replica had taken the lease after it expired.
		if _, err := db.ExecContext(patient(t), "UPDATE eventstore_checkpoints SET holder = 'another'"); err != nil {
			t.Fatal(err)
		}
		s.depositMore(accounts, "a", 6)
		takes := make(chan struct{})
		other := *p
		other.Apply = func(ctx context.Context, tx *sql.Tx, event *eventstore.Event) error {
			close(takes)
			return p.Apply(ctx, tx, event)
		}
		defer running(t, other.Run)() //nolint:errcheck // ends with the test
		select {
		case <-takes:
			t.Error("a replica took a lease that another holds")
		case <-time.After(300 * time.Millisecond): // long enough for a mistake to show
		}
		if got := readTotals(t, db, "totals")(); got != total(5) {
			t.Errorf("without the lease: %s", got)
		}
		if _, err := db.ExecContext(patient(t), "UPDATE eventstore_checkpoints SET held_until = 0"); err != nil {
			t.Fatal(err)
		}
		eventually(t, total(6), readTotals(t, db, "totals"))
	})
}

// A replica that a machine lost keeps the others waiting for Lease.
func TestExpiredLease(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		s.deposit(s.accounts(), "a", 5)
		db, dialect := s.readModel()
		p := totals(t, db, dialect, "totals", s.client().Source(channel, eventstore.Filter{}))
		p.Lease = 200 * time.Millisecond
		stop := running(t, p.Run)
		eventually(t, total(5), readTotals(t, db, "totals"))
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := db.ExecContext(patient(t), "UPDATE eventstore_checkpoints SET holder = 'dead', held_until = held_until + 9000000000000000"); err != nil {
			t.Fatal(err)
		}
		if progress, err := p.Progress(patient(t)); err != nil || !progress.Leader {
			t.Errorf("progress %+v, %v", progress, err)
		}
		if _, err := db.ExecContext(patient(t), "UPDATE eventstore_checkpoints SET held_until = 1"); err != nil {
			t.Fatal(err)
		}
		if progress, err := p.Progress(patient(t)); err != nil || progress.Leader {
			t.Errorf("progress %+v, %v", progress, err)
		}
		s.depositMore(s.accounts(), "a", 6)
		defer running(t, p.Run)() //nolint:errcheck // ends with the test
		eventually(t, total(6), readTotals(t, db, "totals"))
	})
}

// Of the replicas of a reactor, one handles events.
func TestReplicasOfReactor(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c, accounts := s.client(), s.accounts()
		s.deposit(accounts, "a", 5)
		db, dialect := s.readModel()
		var last [2]atomic.Uint64
		run := func(i int) (stop func() error) {
			r := &eventstore.Reactor{Name: "mail", DB: db, Dialect: dialect, Start: eventstore.FromSequence(4), Handle: func(_ context.Context, e *eventstore.Event) error {
				if e.Sequence < 4 {
					return fmt.Errorf("sequence %d comes before the start", e.Sequence)
				}
				last[i].Store(e.Sequence)
				return nil
			}}
			return running(t, func(ctx context.Context) error { return r.Run(ctx, c.Source(channel, eventstore.Filter{})) })
		}
		stopFirst := run(0)
		eventually(t, "6", func() string { return fmt.Sprint(last[0].Load()) })
		stopSecond := run(1)
		s.depositMore(accounts, "a", 6)
		eventually(t, "7", func() string { return fmt.Sprint(last[0].Load()) })
		if err := stopFirst(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		s.depositMore(accounts, "a", 7)
		eventually(t, "8", func() string { return fmt.Sprint(last[1].Load()) })
		if err := stopSecond(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A projection without a checkpoint begins where Start says; one that has a checkpoint goes on there.
func TestStartOfProjector(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c, accounts := s.client(), s.accounts()
		s.deposit(accounts, "a", 5)
		s.depositMore(accounts, "a", 6)
		events, err := c.Load(patient(t), channel, "Account", "a", 7)
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		db, dialect := s.readModel()
		if _, err := db.ExecContext(patient(t), "CREATE TABLE seen (name VARCHAR(99), sequence BIGINT)"); err != nil {
			t.Fatal(err)
		}
		bySequence, byPosition := c.Source(channel, eventstore.Filter{}), c.SourceAll(eventstore.Query{})
		i := 0
		for name, it := range map[string]struct {
			source eventstore.Source
			start  eventstore.Start
			first  uint64
		}{
			"beginning": {bySequence, eventstore.FromBeginning(), 1}, "sequence": {bySequence, eventstore.FromSequence(3), 3},
			"time": {bySequence, eventstore.FromTime(events[0].RecordedAt), 7}, "last": {bySequence, eventstore.FromLast(), 7},
			"end": {bySequence, eventstore.FromEnd(), 8}, "position": {byPosition, eventstore.FromPosition(3), 3},
			"last position": {byPosition, eventstore.FromLast(), 7}, "end of all": {byPosition, eventstore.FromEnd(), 8},
			"time of all":   {byPosition, eventstore.FromTime(events[0].RecordedAt), 7},
			"in the future": {bySequence, eventstore.FromTime(time.Now().Add(time.Hour)), 8},
		} {
			i++
			var first uint64
			p := &eventstore.Projector{Name: fmt.Sprint(i), DB: db, Dialect: dialect, Source: it.source, Start: it.start}
			p.Apply = func(_ context.Context, _ *sql.Tx, e *eventstore.Event) error {
				if first == 0 {
					first = e.Sequence
				}
				return nil
			}
			ctx, stop := context.WithCancel(patient(t))
			p.CaughtUp = stop
			if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", name, err)
			}
			if it.first < 8 && first != it.first || it.first == 8 && first != 0 {
				t.Errorf("%s: it begins at %d, want %d", name, first, it.first)
			}
			if at, err := p.Checkpoint(patient(t)); err != nil || at != 7 {
				t.Errorf("%s: checkpoint %d, %v", name, at, err)
			}
		}
		for what, p := range map[string]*eventstore.Projector{
			"beyond the end": {Start: eventstore.FromSequence(9), Source: bySequence}, "a position of a channel": {Start: eventstore.FromPosition(2), Source: bySequence},
			"a sequence of all": {Start: eventstore.FromSequence(2), Source: byPosition},
		} {
			p.Name, p.DB, p.Dialect = what, db, dialect
			if err := p.Run(patient(t)); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: error %v", what, err)
			}
		}
	})
}
