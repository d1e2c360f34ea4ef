package guide

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Checkpoints creates the table with the last sequence that each projection has processed.
const Checkpoints = `CREATE TABLE IF NOT EXISTS checkpoints (
	projection VARCHAR(255) PRIMARY KEY,
	sequence BIGINT NOT NULL
)`

// Projector keeps a projection up to date.
type Projector struct {
	Name  string  // key of the checkpoint
	DB    *sql.DB // holds the projection and its checkpoint; need not be the event store's database
	Apply func(ctx context.Context, tx *sql.Tx, event *eventstorev1.Event) error
}

// Run applies the events after the checkpoint, in order, each exactly once, until ctx ends or something fails. The next Run
// continues from the checkpoint.
func (p *Projector) Run(ctx context.Context, sc stan.Conn) error {
	last, err := p.begin(ctx) // the checkpoint, or 0
	if err != nil {
		return err
	}
	messages, stop, err := receive(sc, "",
		stan.StartAtSequence(last+1),
		stan.MaxInflight(1),     // the server sends the next event after the acknowledgement,
		stan.SetManualAckMode(), // which follows the commit
		stan.AckWait(30*time.Second))
	if err != nil {
		return err
	}
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m := <-messages:
			if err := p.project(ctx, m); err != nil {
				return fmt.Errorf("projection %s, sequence %d: %w", p.Name, m.Sequence, err)
			}
			if err := m.Ack(); err != nil {
				return fmt.Errorf("acknowledge sequence %d: %w", m.Sequence, err)
			}
		}
	}
}

// project applies one event and moves the checkpoint, in one transaction.
func (p *Projector) project(ctx context.Context, m *stan.Msg) error {
	var event eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &event); err != nil {
		return err
	}
	tx, err := p.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	moved, err := tx.ExecContext(ctx,
		"UPDATE checkpoints SET sequence = $1 WHERE projection = $2 AND sequence = $3",
		m.Sequence, p.Name, m.Sequence-1)
	if err != nil {
		return err
	}
	switch n, err := moved.RowsAffected(); {
	case err != nil:
		return err
	case n == 0:
		return p.checkProcessed(ctx, tx, m.Sequence)
	}
	if err := p.Apply(ctx, tx, &event); err != nil {
		return err
	}
	return tx.Commit()
}

// checkProcessed returns nil if the checkpoint has already reached the event.
func (p *Projector) checkProcessed(ctx context.Context, tx *sql.Tx, sequence uint64) error {
	var last uint64
	err := tx.QueryRowContext(ctx, "SELECT sequence FROM checkpoints WHERE projection = $1", p.Name).Scan(&last)
	if err == nil && last < sequence {
		err = fmt.Errorf("the checkpoint was set back to %d", last)
	}
	return err
}

// begin returns the checkpoint, and creates one at 0 for a new projection.
func (p *Projector) begin(ctx context.Context) (uint64, error) {
	last, err := p.Checkpoint(ctx)
	if !errors.Is(err, sql.ErrNoRows) {
		return last, err
	}
	if _, err := p.DB.ExecContext(ctx, "INSERT INTO checkpoints (projection, sequence) VALUES ($1, 0)", p.Name); err != nil {
		return 0, fmt.Errorf("begin projection %s: %w", p.Name, err)
	}
	return 0, nil
}

// Checkpoint returns the last processed sequence. The error is sql.ErrNoRows if the projection never ran.
func (p *Projector) Checkpoint(ctx context.Context) (last uint64, err error) {
	err = p.DB.QueryRowContext(ctx, "SELECT sequence FROM checkpoints WHERE projection = $1", p.Name).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("checkpoint of projection %s: %w", p.Name, err)
	}
	return last, nil
}
