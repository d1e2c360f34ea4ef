package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
)

// What Apply did for an event that it cannot apply is undone. The event is skipped, parked or stops the projection, as OnError decides,
// and the others take effect once.
func TestDecisions(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		const n = 20
		c, accounts := s.client(), s.accounts()
		s.deposit(accounts, "a", n) // sequences 2 to n+1: 1 to n cents
		if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "Unknown", AggregateID: "a"}, {ID: "broken", Type: "Deposited", AggregateID: "a", Payload: []byte("{"), Metadata: map[string]string{"k": "v"}}}); err != nil {
			t.Fatal(err)
		}
		s.depositMore(accounts, "b", n+1)
		db, dialect := s.readModel()
		p := totals(t, db, dialect, "totals", c.Source(channel, eventstore.Filter{}))
		right := p.Apply
		failing := func(at ...uint64) {
			p.Apply = func(ctx context.Context, tx *sql.Tx, e *eventstore.Event) error {
				if err := right(ctx, tx, e); err != nil || !slices.Contains(at, e.Sequence) {
					return err
				}
				_, err := tx.ExecContext(ctx, "INSERT INTO no_such_table VALUES (1)") // PostgreSQL aborts the transaction
				return err
			}
		}
		failing(3, 5)
		p.OnError = func(e *eventstore.Event, err error) eventstore.Decision {
			switch {
			case errors.Is(err, eventstore.ErrUnknownType), e.Sequence == 5:
				return eventstore.Skip
			case e.Sequence == 3, e.ID == "broken":
				return eventstore.Park
			}
			return eventstore.Stop
		}
		ctx, stop := context.WithCancel(patient(t))
		p.CaughtUp = stop
		if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		// Without the 2 cents of sequence 3 and the 4 cents of sequence 5.
		want := func(events, less int) string {
			return fmt.Sprintf("%d events, %d cents", events, (n+1)*(n+2)/2-less)
		}
		if got := readTotals(t, db, "totals")(); got != want(n, 6) {
			t.Errorf("got %s, want %s", got, want(n, 6))
		}
		if progress, err := p.Progress(patient(t)); err != nil || progress.Parked != 2 || progress.Checkpoint != n+4 {
			t.Errorf("progress %+v, %v", progress, err)
		}
		parked, err := p.Parked(patient(t))
		if err != nil || len(parked) != 2 || parked[0].Place != 3 || parked[0].Reason == "" || parked[0].ParkedAt.IsZero() || parked[1].Event.ID != "broken" {
			t.Fatalf("parked %+v, %v", parked, err)
		}
		if e := parked[1].Event; string(e.Payload) != "{" || e.Metadata["k"] != "v" || e.Channel != channel || e.Sequence != n+3 || e.Position != n+3 || e.RecordedAt.IsZero() {
			t.Errorf("the parked event is %+v", e)
		}

		failing() // as if the program had been corrected
		if replayed, err := p.ReplayParked(patient(t)); replayed != 1 || err == nil {
			t.Errorf("%d replayed, %v", replayed, err)
		}
		if got := readTotals(t, db, "totals")(); got != want(n+1, 4) {
			t.Errorf("after the replay: %s, want %s", got, want(n+1, 4))
		}
		if found, err := p.DiscardParked(patient(t), n+3); !found || err != nil {
			t.Errorf("discard: %t, %v", found, err)
		}
		if replayed, err := p.ReplayParked(patient(t)); replayed != 0 || err != nil {
			t.Errorf("%d replayed, %v", replayed, err)
		}
		// A stop keeps the checkpoint, and what it did is undone.
		s.depositMore(accounts, "b", n+2)
		failing(n + 5)
		if err := p.Run(patient(t)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if at, err := p.Checkpoint(patient(t)); err != nil || at != n+4 {
			t.Errorf("checkpoint %d, %v", at, err)
		}
		if got := readTotals(t, db, "totals")(); got != want(n+1, 4) {
			t.Errorf("after the stop: %s", got)
		}
	})
}

// SkipUnknown, as a field and as a decision, skips what the registry does not know.
func TestSkipUnknown(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		c := s.client()
		if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{{Type: "Unknown", AggregateID: "a"}}); err != nil {
			t.Fatal(err)
		}
		s.deposit(s.accounts(), "a", 3)
		db, dialect := s.readModel()
		p := totals(t, db, dialect, "strict", c.Source(channel, eventstore.Filter{}))
		if err := p.Run(patient(t)); !errors.Is(err, eventstore.ErrUnknownType) {
			t.Errorf("error %v", err)
		}
		for _, name := range []string{"field", "decision"} {
			p := totals(t, db, dialect, name, c.Source(channel, eventstore.Filter{}))
			if p.SkipUnknown = name == "field"; !p.SkipUnknown {
				p.OnError = eventstore.SkipUnknown
			}
			ctx, stop := context.WithCancel(patient(t))
			p.CaughtUp = stop
			if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if got := readTotals(t, db, name)(); got != total(3) {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
}
