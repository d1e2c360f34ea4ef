package stores

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// rightsChecker is a dialect whose statements may lack rights although they could be prepared.
type rightsChecker interface {
	// checkRights returns an ErrSetup that names the missing rights. The schema must be current.
	checkRights(ctx context.Context, db *sql.DB) error
}

// writeChecker is a dialect whose sessions may be read-only by a setting.
type writeChecker interface {
	// checkWrites returns an ErrSetup that names the setting.
	checkWrites(ctx context.Context, db *sql.DB) error
}

func checkWrites(ctx context.Context, d dialect, db *sql.DB) error {
	if w, ok := d.(writeChecker); ok {
		return w.checkWrites(ctx, db)
	}
	return nil
}

// triggerChecker is a dialect whose triggers may be there and not run.
type triggerChecker interface {
	// checkTriggers returns an ErrSetup if a trigger does not run. Other errors say that it could not find out.
	checkTriggers(ctx context.Context, db *sql.DB) error
}

// triggersWait bounds how long verify waits for locks to fire triggers.
const triggersWait = 5 * time.Second

// brokenTriggers returns an ErrSetup if a trigger does not run, and nil if it cannot find out, as on a read-only server.
func brokenTriggers(ctx context.Context, d dialect, db *sql.DB) error {
	t, ok := d.(triggerChecker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, triggersWait)
	defer cancel()
	if err := t.checkTriggers(ctx, db); errors.Is(err, ErrSetup) {
		return err
	}
	return nil
}
