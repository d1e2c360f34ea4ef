package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// runner runs a projector.
type runner struct {
	projector *Projector
	texts     *projectionTexts
	gauges    *gauges
}

// term is the time for which a replica has the lease of a generation.
type term struct {
	generations
	generation int // the live one, or the one that is being built
}

func (t term) building() bool { return t.generation != t.live }

// endEvery is how often a projector that has not caught up asks where the log ends.
const endEvery = 10 * time.Second

// readAhead is how many batches wait for the transaction.
const readAhead = 4

func (p *Projector) runner(ctx context.Context) (*runner, error) {
	if err := p.createTables(ctx); err != nil {
		return nil, err
	}
	gauges, err := newGauges(p.MeterProvider, p.Name, "projector")
	if err != nil {
		return nil, err
	}
	return &runner{projector: p, texts: p.Dialect.projectionTexts(), gauges: gauges}, nil
}

func (r *runner) close() { r.gauges.close() }

// serve waits for the lease of a generation and applies events until ctx ends or something fails. It returns nil once a generation that was
// being built is live.
func (r *runner) serve(ctx context.Context, t term) error {
	p := r.projector
	l := newLease(p.DB, p.Dialect, checkpointName(p.Name, t.generation), p.Lease)
	first := func(ctx context.Context) (uint64, error) { return locate(ctx, p.Source, p.Start) }
	if _, err := l.checkpoint(ctx, first); err != nil {
		return err
	}
	if err := l.take(ctx, func(ctx context.Context) error { return r.unchanged(ctx, t) }); err != nil {
		return err
	}
	defer l.release(ctx)
	r.gauges.lead(true)
	defer r.gauges.lead(false)
	ctx, cancel := context.WithCancelCause(withGeneration(ctx, t.generation))
	defer cancel(nil)
	stop := l.keep(ctx, false, cancel)
	defer stop()
	err := r.project(ctx, t, l)
	if cause := context.Cause(ctx); cause != nil && (errors.Is(cause, errLeaseLost) || errors.Is(err, context.Canceled)) {
		return cause
	}
	return err
}

// unchanged returns errGenerations if the generations are no longer those of the term.
func (r *runner) unchanged(ctx context.Context, t term) error {
	g, err := r.projector.generations(ctx)
	if err == nil && g != t.generations && (g.live != t.live || t.building()) {
		err = errGenerations
	}
	return err
}

// locate returns the place where a projection without a checkpoint begins.
func locate(ctx context.Context, source Source, start Start) (uint64, error) {
	if start == (Start{}) {
		return 0, nil
	}
	log, ok := source.(LogSource)
	if !ok {
		return 0, fmt.Errorf("%T cannot find a Start: begin with the first event, or read through the API", source)
	}
	return log.Locate(ctx, start)
}

// project applies events while the lease is held.
func (r *runner) project(ctx context.Context, t term, l *lease) error {
	p := r.projector
	checkpoint, exists, err := readCheckpoint(ctx, p.DB, r.texts, l.name)
	if err != nil || !exists {
		return errors.Join(err, errLeaseLost) // it was reset meanwhile
	}
	if err := r.prepare(ctx, t); err != nil {
		return err
	}
	log, _ := p.Source.(LogSource)
	if log != nil {
		if err := log.Check(ctx, checkpoint); err != nil {
			return err
		}
	}
	batches := newIncoming(ctx, p.Source, checkpoint)
	defer batches.stop()
	var asked time.Time
	for {
		r.gauges.at(checkpoint)
		if log != nil && time.Since(asked) > endEvery {
			end, err := log.End(ctx)
			if err != nil {
				return err
			}
			r.gauges.end(end)
			asked = time.Now()
		}
		batch, err := batches.next(ctx)
		if err != nil {
			return err
		}
		u := &unit{runner: r, lease: l, incoming: batches, from: checkpoint, to: checkpoint}
		if err := u.run(ctx, batch); err != nil {
			return fmt.Errorf("after checkpoint %d: %w", checkpoint.Place, err)
		}
		checkpoint = u.to
		if !u.caughtUp {
			continue
		}
		r.gauges.caughtUp(checkpoint)
		asked = time.Now()
		if t.building() {
			if live, err := r.goLive(ctx, t, checkpoint.Place); live || err != nil {
				return err
			}
		}
		if p.CaughtUp != nil {
			p.CaughtUp()
		}
	}
}

// prepare makes the tables of a generation, and makes it live where that was interrupted.
func (r *runner) prepare(ctx context.Context, t term) error {
	p := r.projector
	if p.Create == nil && p.Live == nil {
		return nil
	}
	return p.inTx(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if p.Create != nil {
			if err := p.Create(ctx, tx); err != nil {
				return fmt.Errorf("create the tables: %w", err)
			}
		}
		if p.Live != nil && !t.building() {
			return p.Live(ctx, tx)
		}
		return nil
	})
}
