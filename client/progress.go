package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Progress is how far a projection is.
type Progress struct {
	Checkpoint uint64 // sequence, or position with SourceAll, up to which the live generation has applied everything
	// End is the last one of the log. It is 0 without a LogSource.
	End uint64
	// Lag is how many events, of the selected ones and others, the log is ahead.
	Lag uint64
	// Delay is the age of the last event that was applied, or 0 if the projection has caught up. It is what a reader may miss, at most.
	Delay time.Duration
	// Leader reports whether a replica runs the projection.
	Leader     bool
	Generation int // the live one
	Building   int // the one that is being built, or 0
	Parked     int // events
}

// Progress asks the projection's database and, if the source is a LogSource, the log. Any process can call it.
func (p *Projector) Progress(ctx context.Context) (Progress, error) {
	report, err := p.progress(ctx)
	if err != nil {
		return report, fmt.Errorf("progress of projection %q: %w", p.Name, err)
	}
	return report, nil
}

func (p *Projector) progress(ctx context.Context) (report Progress, err error) {
	if err := p.createTables(ctx); err != nil {
		return report, err
	}
	g, err := p.generations(ctx)
	if err != nil {
		return report, err
	}
	report.Generation, report.Building = g.live, g.building
	texts, name := p.Dialect.projectionTexts(), checkpointName(p.Name, g.live)
	c, _, err := readCheckpoint(ctx, p.DB, texts, name)
	if err != nil {
		return report, err
	}
	report.Checkpoint = c.Place
	var holder string
	if err := p.DB.QueryRowContext(ctx, texts.leaseHolder, name).Scan(&holder); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return report, err
	}
	report.Leader = holder != ""
	if err := p.DB.QueryRowContext(ctx, texts.countParked, name).Scan(&report.Parked); err != nil {
		return report, err
	}
	if log, ok := p.Source.(LogSource); ok {
		if report.End, err = log.End(ctx); err != nil {
			return report, err
		}
	}
	if report.End > c.Place {
		report.Lag, report.Delay = report.End-c.Place, delay(c)
	}
	return report, nil
}

// delay returns the age of the last event that was handled.
func delay(c Checkpoint) time.Duration {
	if c.Sequence == 0 {
		return 0
	}
	return max(time.Since(c.RecordedAt), 0)
}

// WaitFor returns once the read model contains everything up to a checkpoint, or with the cause if ctx ends first. With
// SourceAll that is a position, such as Position.Position of an append or Result.Position. With the source of a channel it
// is a sequence. It may be that of an event that the source leaves out. Any process that has the DB can wait; the projector may run
// elsewhere, in any of its replicas. Like Run, WaitFor creates the tables.
func (p *Projector) WaitFor(ctx context.Context, checkpoint uint64) error {
	pause := backoff{max: 100 * time.Millisecond}
	applied, err := uint64(0), p.createTables(ctx) // Run may not have begun yet
	if err == nil {
		applied, err = p.Checkpoint(ctx)
	}
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

// Checkpoint returns the sequence, or position, up to which the live generation has applied all events, 0 if there is none. The tables
// must exist.
func (p *Projector) Checkpoint(ctx context.Context) (uint64, error) {
	g, err := p.generations(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil // Run has not begun yet
	}
	if err != nil {
		return 0, err
	}
	c, _, err := readCheckpoint(ctx, p.DB, p.Dialect.projectionTexts(), checkpointName(p.Name, g.live))
	return c.Place, err
}
