package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Projector keeps a read model in a SQL database up to date. It applies the events of a source in order, each exactly
// once, because it commits its checkpoint together with the changes.
//
// Any number of replicas of a service may run a projector of one name: one of them has the lease, a part of the checkpoint's row, and
// the others stand by. They take over when it stops, or Lease after it died.
type Projector struct {
	Name    string // key of the checkpoint, at most 255 bytes
	DB      *sql.DB
	Dialect Dialect // of DB
	Source  Source
	// Start is where the projection begins if it has no checkpoint. It needs a LogSource. The zero value is the first event. A start at a
	// time in the future is the end.
	Start Start
	// Registry, if not nil, decodes events. An unknown event type is an error, unless SkipUnknown is set: then the event
	// is skipped.
	Registry    *Registry
	SkipUnknown bool
	// Apply changes the read model. It must not commit or roll back the transaction. If the transaction fails, only
	// changes made in it are undone, and Apply is called again for its events. OnError decides about an error; without it, the error ends Run.
	Apply func(ctx context.Context, tx *sql.Tx, event *Event) error
	// ApplyBatch, if not nil, is called in place of Apply with events that follow each other, so that one statement can change the read model
	// for several. If it fails, the transaction is undone, and its events are applied one by one, to find the one that fails.
	ApplyBatch func(ctx context.Context, tx *sql.Tx, events []*Event) error
	// OnError, if not nil, decides what becomes of an event that Apply or ApplyBatch returned an error for, or that cannot be decoded. What Apply did
	// for that event is undone. It may be called again for the same event, if the transaction fails for another reason. The database's
	// own outages come here, too; then Skip and Park change nothing, since the transaction cannot be committed.
	OnError func(event *Event, err error) Decision

	// BatchEvents bounds the events of a transaction; 0 means 1,000. A batch of the source is not divided. BatchDelay is how long a
	// transaction waits for more events while it has fewer; 0 means that it takes only those that have arrived.
	BatchEvents int
	BatchDelay  time.Duration
	// Lease is how long a replica that died or hangs keeps the others waiting; 0 means 5 s.
	Lease time.Duration

	// Version is that of the read model's form. Raise it when Apply or Create changes: Run then builds the read model anew, in tables of a
	// new generation, and makes it the live one once it has caught up. See Table, Create, Live and Drop.
	Version int
	// Create, if not nil, creates the tables of a generation, named with Table, before its first event. It may be called again.
	Create func(ctx context.Context, tx *sql.Tx) error
	// Live, if not nil, is called in the transaction that makes a generation the live one, and for the first generation after Create:
	// it can replace a view. On MySQL and MariaDB, statements that change a schema commit at once.
	Live func(ctx context.Context, tx *sql.Tx) error
	// Drop, if not nil, removes the tables of a generation. DropOld calls it. It may be called again.
	Drop func(ctx context.Context, tx *sql.Tx) error

	// CaughtUp, if not nil, is called each time that the projection has applied all events stored at that time.
	CaughtUp func()
	// MeterProvider gets the metrics that docs/guides/projections.md lists; nil means that of OpenTelemetry's global one.
	MeterProvider metric.MeterProvider
}

// Run creates the tables eventstore_checkpoints, eventstore_projections and eventstore_parked unless they exist, waits for the lease, then
// applies the events after the checkpoint. It runs until ctx ends or something fails, and returns the reason. The next Run continues
// from the checkpoint.
//
// It returns a *GapError if the log does not reach the checkpoint, or lost the event there, and ErrSuperseded if a later Version is
// live.
func (p *Projector) Run(ctx context.Context) error {
	r, err := p.runner(ctx)
	if err != nil {
		return fmt.Errorf("begin projection %q: %w", p.Name, p.cause(ctx, err))
	}
	defer r.close()
	for {
		g, err := p.generations(ctx)
		switch {
		case err != nil:
		case g.version > p.version():
			err = fmt.Errorf("%w: version %d is live, this program has version %d", ErrSuperseded, g.version, p.version())
		case g.version < p.version():
			err = r.build(ctx, g)
		default:
			err = r.serve(ctx, term{generations: g, generation: g.live})
		}
		if err == nil || errors.Is(err, errLeaseLost) || errors.Is(err, errGenerations) {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("projection %q: %w", p.Name, err)
	}
}

// cause returns the reason why ctx ended, if it did, or the error.
func (p *Projector) cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (p *Projector) version() int { return max(p.Version, 1) }

// Reset makes the live generation start over. It deletes the checkpoint and the parked events, and calls clear, which empties the read
// model, in one transaction. A projector that is running goes on from the first event, or from Start.
func (p *Projector) Reset(ctx context.Context, clear func(ctx context.Context, tx *sql.Tx) error) error {
	err := p.createTables(ctx)
	var g generations
	if err == nil {
		g, err = p.generations(ctx)
	}
	if err == nil {
		texts, name := p.Dialect.projectionTexts(), checkpointName(p.Name, g.live)
		err = p.inTx(withGeneration(ctx, g.live), func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, texts.dropCheckpoint, name); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, texts.unparkAll, name); err != nil {
				return err
			}
			return clear(ctx, tx)
		})
	}
	if err != nil {
		return fmt.Errorf("reset projection %q: %w", p.Name, err)
	}
	return nil
}

// inTx commits what do does, or nothing of it.
func (p *Projector) inTx(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	tx, err := p.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit; otherwise the first error is the one to return
	if err := do(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

func (p *Projector) createTables(ctx context.Context) error {
	if err := createCheckpoints(ctx, p.DB, p.Dialect); err != nil {
		return err
	}
	texts := p.Dialect.projectionTexts()
	for _, text := range []string{texts.createProjections, texts.createParked} {
		if err := createTable(ctx, p.DB, text); err != nil {
			return err
		}
	}
	_, err := p.DB.ExecContext(ctx, texts.newProjection, p.Name, p.version())
	return err
}
