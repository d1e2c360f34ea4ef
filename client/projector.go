package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Projector keeps a read model in a SQL database up to date. It applies the events of a source in order, each exactly
// once, because it commits its checkpoint together with the changes. Run one projector per name: if several run, one
// makes progress and the others wait for it or fail with ErrGap.
//
// To change a read model, run a second projector with another name and table beside the first. Once it has caught up,
// switch readers to its table and stop the first.
type Projector struct {
	Name    string // key of the checkpoint, at most 255 bytes
	DB      *sql.DB
	Dialect Dialect // of DB
	Source  Source
	// Registry, if not nil, decodes events. An unknown event type is an error, unless SkipUnknown is set: then the event
	// is skipped.
	Registry    *Registry
	SkipUnknown bool
	// Apply changes the read model. It must not commit or roll back the transaction. If the transaction fails, only
	// changes made in it are undone. An error ends Run.
	Apply func(ctx context.Context, tx *sql.Tx, event *Event) error
	// CaughtUp, if not nil, is called each time that the projection has applied all events stored at that time.
	CaughtUp func()
}

// Run creates the table eventstore_checkpoints unless it exists, then applies the events after the checkpoint. It runs
// until ctx ends or something fails, and returns the reason. The next Run continues from the checkpoint.
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
	return fmt.Errorf("projection %q after checkpoint %d: %w", p.Name, checkpoint, err)
}

func (p *Projector) begin(ctx context.Context) (uint64, error) {
	if err := createTable(ctx, p.DB, p.Dialect.texts().createCheckpoints); err != nil {
		return 0, err
	}
	if _, err := p.DB.ExecContext(ctx, p.Dialect.texts().newCheckpoint, p.Name); err != nil {
		return 0, err
	}
	return p.Checkpoint(ctx)
}

// project applies a batch and moves the checkpoint, in one transaction.
func (p *Projector) project(ctx context.Context, checkpoint uint64, batch Batch) error {
	if err := batch.checkFollows(checkpoint); err != nil {
		return err
	}
	tx, err := p.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit; otherwise the first error is the one to return
	// This update locks the row: a second projector with the same name waits here, then finds that the checkpoint moved.
	moved, err := tx.ExecContext(ctx, p.Dialect.texts().moveCheckpoint, batch.Checkpoint, p.Name, checkpoint)
	if err != nil {
		return err
	}
	if n, err := moved.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("%w: the checkpoint is no longer at %d", ErrGap, checkpoint))
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

// WaitFor returns once the read model contains everything up to a checkpoint, or with the cause if ctx ends first. With
// SourceAll that is a position, such as Position.Position of an append or Result.Position. With the source of a channel it
// is a sequence. Any process that has the DB can wait; the projector may run elsewhere. Like Run, WaitFor creates the table.
func (p *Projector) WaitFor(ctx context.Context, checkpoint uint64) error {
	pause := backoff{max: 100 * time.Millisecond}
	applied, err := p.begin(ctx) // Run may not have begun yet
	for err == nil && applied < checkpoint {
		if err = pause.wait(ctx); err == nil {
			applied, err = p.Checkpoint(ctx)
		}
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("wait for checkpoint %d of projection %q, which is at %d: %w", checkpoint, p.Name, applied, err)
	}
	return nil
}

// Checkpoint returns the sequence, or position, up to which all events are applied, 0 if there is none.
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

// Reset makes the projection start over. It deletes the checkpoint and calls clear, which empties the read model, in one
// transaction. The projector must not be running.
func (p *Projector) Reset(ctx context.Context, clear func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := p.DB.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("reset projection %q: %w", p.Name, err)
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit; otherwise the first error is the one to return
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
