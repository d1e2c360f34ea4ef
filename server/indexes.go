package server

import (
	"context"
	"errors"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// applyIndexes makes the indexes on event data that the options ask for, and removes former ones. What the database
// refuses is an error of the log, not of the start: messages are stored and delivered without.
func (t *term) applyIndexes(ctx context.Context) {
	err := t.store.ApplyIndexes(ctx)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, stores.ErrFenced):
		t.end(err)
	default:
		t.log.Error("An index on event data or metadata cannot be made; queries by it read all events", "error", err)
	}
}
