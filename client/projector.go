package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Projector keeps a read model in a SQL database up to date: it applies the events of a source in order, each exactly
// once, because its checkpoint is saved in the transaction of their effects. Of several that run under one name, one makes
// progress and the others fail with ErrGap or wait for it; run one.
//
// To change a read model, run a second projector with another name and table beside the first, wait until it has
// caught up, have readers use its table, and stop the first.
type Projector struct {
	Name    string // of the projection, at most 255 bytes: the key of its checkpoint
	DB      *sql.DB
	Dialect Dialect // of DB
	Source  Source
	// Registry decodes events, if it is not nil. An event of an unknown type is an error, or with SkipUnknown is not applied.
	Registry    *Registry
	SkipUnknown bool
	// Apply changes the read model. It must not end the transaction, and its other effects are not undone if the transaction
	// fails. An error ends Run.
	Apply func(ctx context.Context, tx *sql.Tx, event *Event) error
	// CaughtUp, if not nil, is called each time that the projection holds all events that the source has at that time.
	CaughtUp func()
}

// Run makes the table eventstore_checkpoints if there is none, and applies what follows on the checkpoint until ctx ends or
// something fails, which it returns. Run again, it goes on from the checkpoint.
func (p *Projector) Run(ctx context.Context) error {
	checkpoint, err := p.begin(ctx)
	if err != nil {
		return fmt.Errorf("begin projection %q: %w", p.Name, err)
	}
	err = p.Source.Receive(ctx, checkpoint, func(batch Batch) error {
		if batch.Checkpoint > checkpoint {
			if err := p.project(ctx, checkpoint, batch); err != nil {
				return err
			}
			checkpoint = batch.Checkpoint
		}
		if batch.CaughtUp && p.CaughtUp != nil {
			p.CaughtUp()
		}
		return nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("projection %q after sequence %d: %w", p.Name, checkpoint, err)
}

func (p *Projector) begin(ctx context.Context) (uint64, error) {
	if err := create(ctx, p.DB, p.Dialect.texts().createCheckpoints); err != nil {
		return 0, err
	}
	if _, err := p.DB.ExecContext(ctx, p.Dialect.texts().newCheckpoint, p.Name); err != nil {
		return 0, err
	}
	return p.Checkpoint(ctx)
}

// project applies a batch and moves the checkpoint, in one transaction.
func (p *Projector) project(ctx context.Context, checkpoint uint64, batch Batch) error {
	if err := batch.follows(checkpoint); err != nil {
		return err
	}
	tx, err := p.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do, after an error that one counts
	// The row is locked from here on: another projector of the name waits, and finds that it moved.
	moved, err := tx.ExecContext(ctx, p.Dialect.texts().moveCheckpoint, batch.Checkpoint, p.Name, checkpoint)
	if err != nil {
		return err
	}
	if n, err := moved.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("%w: it is no longer at %d", ErrGap, checkpoint))
	}
	for _, event := range batch.Events {
		if p.Registry != nil {
			err := p.Registry.Decode(event)
			if p.SkipUnknown && errors.Is(err, ErrUnknownType) {
				continue
			}
			if err != nil {
				return err
			}
		}
		if err := p.Apply(ctx, tx, event); err != nil {
			return fmt.Errorf("apply %s, sequence %d: %w", event.Type, event.Sequence, err)
		}
	}
	return tx.Commit()
}

// follows returns ErrGap if an event is missing between a checkpoint and the batch, or in it.
func (b Batch) follows(checkpoint uint64) error {
	if !b.Complete {
		return nil
	}
	next := checkpoint + 1
	for _, e := range b.Events {
		if e.Sequence != next {
			return fmt.Errorf("%w: sequence %d comes where %d should", ErrGap, e.Sequence, next)
		}
		next++
	}
	if b.Checkpoint != next-1 {
		return fmt.Errorf("%w: nothing between %d and %d", ErrGap, next-1, b.Checkpoint)
	}
	return nil
}

// Checkpoint returns the sequence of the last event that was applied, 0 if there is none.
func (p *Projector) Checkpoint(ctx context.Context) (uint64, error) {
	return checkpoint(ctx, p.DB, p.Dialect, p.Name)
}

func checkpoint(ctx context.Context, db *sql.DB, dialect Dialect, name string) (sequence uint64, err error) {
	err = db.QueryRowContext(ctx, dialect.texts().checkpoint, name).Scan(&sequence)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read checkpoint %q: %w", name, err)
	}
	return sequence, nil
}

// Reset has the projection begin anew: clear, which empties the read model, and the removal of the checkpoint are one
// transaction. The projector must not run.
func (p *Projector) Reset(ctx context.Context, clear func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := p.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("reset projection %q: %w", p.Name, err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do, after an error that one counts
	if _, err = tx.ExecContext(ctx, p.Dialect.texts().dropCheckpoint, p.Name); err == nil {
		err = clear(ctx, tx)
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("reset projection %q: %w", p.Name, err)
	}
	return nil
}
