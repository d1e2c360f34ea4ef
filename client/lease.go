package eventstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// defaultLease is Projector.Lease and Reactor.Lease by default.
const defaultLease = 5 * time.Second

// errLeaseLost means that another replica holds the lease now, or that the checkpoint was reset. The holder stands by again.
var errLeaseLost = errors.New("another replica holds the lease")

// lease makes one of the replicas of a service the only reader under a name. It is part of the row of the checkpoint, so that a
// transaction that moves the checkpoint proves by the same statement that it still holds the lease.
type lease struct {
	db      *sql.DB
	texts   *projectionTexts
	name    string // of the checkpoint
	holder  string
	length  time.Duration
	renewed atomic.Int64 // when a statement last renewed it, in nanoseconds of our clock
}

func newLease(db *sql.DB, dialect Dialect, name string, length time.Duration) *lease {
	if length <= 0 {
		length = defaultLease
	}
	return &lease{db: db, texts: dialect.projectionTexts(), name: name, holder: rand.Text(), length: length}
}

// take waits for the lease. changed, if not nil, is asked before each attempt: its error ends the wait.
func (l *lease) take(ctx context.Context, changed func(context.Context) error) error {
	for {
		if changed != nil {
			if err := changed(ctx); err != nil {
				return err
			}
		}
		taken, err := l.try(ctx)
		if err != nil || taken {
			return err
		}
		if _, exists, err := readCheckpoint(ctx, l.db, l.texts, l.name); err != nil || !exists {
			return cmp.Or(err, errLeaseLost) // it was reset: without the row, there is no lease to wait for
		}
		timer := time.NewTimer(min(l.length/4, time.Second))
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// maxTry bounds how long an attempt to take the lease waits for a lock, to stay below what databases bear.
const maxTry = 2 * time.Second

// try takes the lease if it is free. A leader whose transaction takes long has the row locked: then the lease is not free.
func (l *lease) try(ctx context.Context) (bool, error) {
	short, cancel := context.WithTimeout(ctx, min(l.length, maxTry))
	defer cancel()
	taken, err := l.affect(short, l.db, l.texts.takeLease, l.holder, l.length.Microseconds(), l.name, l.holder)
	if err != nil && ctx.Err() == nil && short.Err() != nil {
		return false, nil
	}
	return taken, err
}

// executor is a database or a transaction.
type executor interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// affect executes a statement that holds the lease, and reports whether it changed the row.
func (l *lease) affect(ctx context.Context, on executor, text string, args ...any) (bool, error) {
	now := time.Now().UnixNano()
	result, err := on.ExecContext(ctx, text, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	if n > 0 {
		l.renewed.Store(now)
	}
	return n > 0, err
}

// hold locks the row of the checkpoint until the transaction ends, or returns errLeaseLost.
func (l *lease) hold(ctx context.Context, tx *sql.Tx, place uint64) error {
	held, err := l.affect(ctx, tx, l.texts.holdCheckpoint, l.length.Microseconds(), l.name, l.holder, place)
	if err == nil && !held {
		err = errLeaseLost
	}
	return err
}

// move moves the checkpoint, or returns errLeaseLost.
func (l *lease) move(ctx context.Context, on executor, to Checkpoint) error {
	recorded := int64(0)
	if to.Sequence > 0 {
		recorded = to.RecordedAt.UnixNano()
	}
	moved, err := l.affect(ctx, on, l.texts.moveCheckpoint, to.Place, to.Channel, to.Sequence, recorded, l.length.Microseconds(), l.name, l.holder)
	if err == nil && !moved {
		err = errLeaseLost
	}
	return err
}

// keep renews the lease until stop is called. It calls lost once another replica has it. If strict is set, it also does so once the
// lease has expired by our clock because the database could not be asked. That is for work that no transaction guards.
func (l *lease) keep(ctx context.Context, strict bool, lost func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() {
		ticker := time.NewTicker(l.length / 5)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			age := time.Since(time.Unix(0, l.renewed.Load()))
			if age < l.length/3 {
				continue // the transactions renew it
			}
			if held, err := l.renew(ctx); err == nil && !held || strict && time.Since(time.Unix(0, l.renewed.Load())) >= l.length {
				lost(errLeaseLost)
				return
			}
		}
	})
	return func() { // before the caller releases the lease
		cancel()
		running.Wait()
	}
}

// renew may wait for our own transaction, which has the row locked. That renews the lease, too.
func (l *lease) renew(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, l.length/2)
	defer cancel()
	return l.affect(ctx, l.db, l.texts.keepLease, l.length.Microseconds(), l.name, l.holder)
}

// release lets another replica take the lease at once.
func (l *lease) release(ctx context.Context) {
	save, cancel := saveContext(ctx)
	defer cancel()
	_, _ = l.db.ExecContext(save, l.texts.releaseLease, l.name, l.holder) // otherwise it expires
}

// checkpoint returns the checkpoint of the lease, which is created at a place if it does not exist.
func (l *lease) checkpoint(ctx context.Context, first func(context.Context) (uint64, error)) (Checkpoint, error) {
	c, exists, err := readCheckpoint(ctx, l.db, l.texts, l.name)
	if err != nil || exists {
		return c, err
	}
	place := uint64(0)
	if first != nil {
		if place, err = first(ctx); err != nil {
			return c, fmt.Errorf("find the start: %w", err)
		}
	}
	if _, err := l.db.ExecContext(ctx, l.texts.newCheckpoint, l.name, place); err != nil {
		return c, err
	}
	c, _, err = readCheckpoint(ctx, l.db, l.texts, l.name) // another replica may have been faster
	return c, err
}

// querier is a database or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readCheckpoint(ctx context.Context, from querier, texts *projectionTexts, name string) (c Checkpoint, exists bool, err error) {
	var recorded int64
	err = from.QueryRowContext(ctx, texts.checkpoint, name).Scan(&c.Place, &c.Channel, &c.Sequence, &recorded)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read checkpoint %q: %w", name, err)
	}
	if c.Sequence > 0 {
		c.RecordedAt = time.Unix(0, recorded).UTC()
	}
	return c, true, nil
}
