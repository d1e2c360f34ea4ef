package eventstore

import (
	"context"
	"database/sql"
	"time"
)

// Checkpoint is how far a reader of a source has come. The zero value is before the first event.
type Checkpoint struct {
	// Place is the sequence, or the position with SourceAll, up to which everything is handled.
	Place uint64
	// Channel, Sequence and RecordedAt are those of the last event that was handled. They tell the log that was read from one that was
	// restored and has grown since. Sequence 0 means that no event was handled.
	Channel    string
	Sequence   uint64
	RecordedAt time.Time
}

// after returns the checkpoint of a reader who handled one more batch.
func (c Checkpoint) after(batch Batch) Checkpoint {
	if n := len(batch.Events); n > 0 {
		last := batch.Events[n-1]
		c.Channel, c.Sequence, c.RecordedAt = last.Channel, last.Sequence, last.RecordedAt
		c.Place = max(c.Place, batch.place(last))
	}
	if c.Place > 0 { // otherwise a start beyond the end would count as handled
		c.Place = max(c.Place, batch.Checkpoint)
	}
	return c
}

// createCheckpoints creates the table of checkpoints unless it exists.
func createCheckpoints(ctx context.Context, db *sql.DB, dialect Dialect) error {
	texts := dialect.projectionTexts()
	return createTable(ctx, db, texts.createCheckpoints, texts.addedToCheckpoints...)
}
