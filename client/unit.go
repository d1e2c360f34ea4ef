package eventstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// defaultBatchEvents is Projector.BatchEvents by default.
const defaultBatchEvents = 1000

// unit is what a projector commits in one transaction: the changes of one or more batches, parked events and the checkpoint.
type unit struct {
	*runner
	lease    *lease
	incoming *incoming
	from, to Checkpoint
	batches  []Batch // of this unit
	caughtUp bool    // by the last one
	applied  outcomes
}

// outcomes count what became of events.
type outcomes struct{ applied, skipped, parked int64 }

// failedError is an error about an event, which OnError decides about.
type failedError struct {
	event *Event
	err   error
}

func (e *failedError) Error() string {
	return fmt.Sprintf("apply %s, sequence %d of channel %q: %s", e.event.Type, e.event.Sequence, e.event.Channel, e.err)
}

func (e *failedError) Unwrap() error { return e.err }

// errBatch means that ApplyBatch failed for several events. Applying them one by one tells for which.
var errBatch = errors.New("apply a batch")

// run applies a batch and those that arrive meanwhile. Savepoints cost two statements for each event, so it does without at first, and
// begins anew with them if an event fails that OnError may have another idea about.
func (u *unit) run(ctx context.Context, batch Batch) error {
	err := u.attempt(ctx, []Batch{batch}, false)
	var failed *failedError
	decides := errors.As(err, &failed) && u.projector.OnError != nil
	if failed != nil {
		u.gauges.failed(ctx)
	}
	if (decides || errors.Is(err, errBatch)) && ctx.Err() == nil {
		err = u.attempt(ctx, u.batches, true)
	}
	if err == nil {
		u.gauges.count(ctx, u.applied)
	}
	return err
}

// attempt applies batches in one transaction. A careful one has a savepoint for each event and takes no more batches.
func (u *unit) attempt(ctx context.Context, batches []Batch, careful bool) error {
	u.batches, u.to, u.applied = nil, u.from, outcomes{}
	t := &attempt{unit: u, careful: careful}
	defer t.rollback()
	until, events := time.Now().Add(u.projector.BatchDelay), 0
	for _, batch := range batches {
		if err := t.apply(ctx, batch); err != nil {
			return err
		}
		events += len(batch.Events)
	}
	for !careful && t.tx != nil && events < cmp.Or(u.projector.BatchEvents, defaultBatchEvents) {
		batch, ok := u.incoming.more(ctx, until)
		if !ok {
			break
		}
		if err := t.apply(ctx, batch); err != nil {
			return err
		}
		events += len(batch.Events)
	}
	return t.commit(ctx)
}

// more returns a batch that arrives before a time, or that has arrived.
func (in *incoming) more(ctx context.Context, until time.Time) (Batch, bool) {
	select {
	case batch := <-in.batches:
		return batch, true
	default:
	}
	wait := time.Until(until)
	if wait <= 0 {
		return Batch{}, false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case batch := <-in.batches:
		return batch, true
	case <-timer.C:
	case <-in.ended:
	case <-ctx.Done():
	}
	return Batch{}, false
}

// attempt is a transaction of a unit. It begins with the first batch that advances.
type attempt struct {
	*unit
	careful bool
	tx      *sql.Tx
}

func (t *attempt) rollback() {
	if t.tx != nil {
		_ = t.tx.Rollback() // a no-op after Commit; otherwise the first error is the one to return
	}
}

func (t *attempt) apply(ctx context.Context, batch Batch) error {
	t.batches, t.caughtUp = append(t.batches, batch), batch.CaughtUp
	if batch.Checkpoint <= t.to.Place {
		return nil
	}
	if err := batch.checkFollows(t.to.Place); err != nil {
		return err
	}
	if t.tx == nil {
		var err error
		if t.tx, err = t.projector.DB.BeginTx(ctx, nil); err != nil {
			return err
		}
		if err := t.lease.hold(ctx, t.tx, t.from.Place); err != nil {
			return err
		}
	}
	if t.projector.ApplyBatch != nil && !t.careful {
		if err := t.together(ctx, batch.Events); err != nil {
			return err
		}
	} else {
		for _, event := range batch.Events {
			if err := t.event(ctx, batch, event); err != nil {
				return err
			}
		}
	}
	t.to = t.to.after(batch)
	t.to.Place = batch.Checkpoint
	return nil
}

// together applies events by one call.
func (t *attempt) together(ctx context.Context, events []*Event) error {
	all, applied := make([]*Event, 0, len(events)), int64(0)
	for _, event := range events {
		expanded, err := expand(t.projector.Registry, t.projector.SkipUnknown, event)
		if err != nil {
			return &failedError{event, err}
		}
		if all = append(all, expanded...); len(expanded) > 0 {
			applied++
		}
	}
	if len(all) == 0 {
		return nil
	}
	if err := t.projector.ApplyBatch(ctx, t.tx, all); err != nil {
		return fmt.Errorf("%w: %w", errBatch, err)
	}
	t.applied.applied += applied
	t.applied.skipped += int64(len(events)) - applied
	return nil
}

// event applies an event, or does with it what OnError decides.
func (t *attempt) event(ctx context.Context, batch Batch, event *Event) error {
	if !t.careful {
		return t.try(ctx, event)
	}
	if _, err := t.tx.ExecContext(ctx, savepoint); err != nil {
		return err
	}
	err := t.try(ctx, event)
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, t.exec(ctx, releaseSavepoint))
	}
	decision := Stop
	if t.projector.OnError != nil {
		decision = t.projector.OnError(event, err)
	}
	if decision == Stop {
		return err
	}
	if rolled := t.exec(ctx, rollbackToSavepoint); rolled != nil {
		return fmt.Errorf("%w (after %w)", rolled, err)
	}
	if decision == Park {
		if err := t.projector.park(ctx, t.tx, t.lease.name, batch.place(event), event, err); err != nil {
			return err
		}
		t.applied.parked++
	} else {
		t.applied.skipped++
	}
	return t.exec(ctx, releaseSavepoint)
}

func (t *attempt) exec(ctx context.Context, text string) error {
	_, err := t.tx.ExecContext(ctx, text)
	return err
}

// try decodes an event and applies what it stands for.
func (t *attempt) try(ctx context.Context, event *Event) error {
	n, err := t.projector.applyEvent(ctx, t.tx, event)
	if err != nil {
		return &failedError{event, err}
	}
	t.applied.applied += n
	t.applied.skipped += 1 - min(n, 1)
	return nil
}

// applyEvent decodes an event, and applies it or the events that it was upcast to. It returns 0 if it left the event out.
func (p *Projector) applyEvent(ctx context.Context, tx *sql.Tx, event *Event) (n int64, err error) {
	events, err := expand(p.Registry, p.SkipUnknown, event)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	if p.ApplyBatch != nil {
		return 1, p.ApplyBatch(ctx, tx, events)
	}
	for _, e := range events {
		if err := p.Apply(ctx, tx, e); err != nil {
			return 0, err
		}
	}
	return 1, nil
}

// expand returns the events that an event stands for: itself without a registry, none if its type is unknown and may be skipped.
func expand(registry *Registry, skipUnknown bool, event *Event) ([]*Event, error) {
	if registry == nil {
		return []*Event{event}, nil
	}
	events, err := registry.Expand(event)
	if skipUnknown && errors.Is(err, ErrUnknownType) {
		return nil, nil
	}
	return events, err
}

// commit moves the checkpoint and commits. Without a transaction, there is nothing to commit.
func (t *attempt) commit(ctx context.Context) error {
	if t.tx == nil {
		return nil
	}
	if err := t.lease.move(ctx, t.tx, t.to); err != nil {
		return err
	}
	return t.tx.Commit()
}

// checkFollows returns ErrGap unless the events come after the checkpoint, in order, and up to the batch's own checkpoint.
func (b Batch) checkFollows(checkpoint uint64) error {
	last := checkpoint
	for _, e := range b.Events {
		if b.place(e) <= last {
			return fmt.Errorf("%w: got %d after %d", ErrGap, b.place(e), last)
		}
		last = b.place(e)
	}
	if b.Checkpoint < last {
		return fmt.Errorf("%w: the batch ends at %d, its checkpoint is %d", ErrGap, last, b.Checkpoint)
	}
	return nil
}
