// Package offline implements the commands that need a database without a server, and verify, which may run beside one.
package offline

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/lease"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

var (
	// ErrImporting means that the database holds an unfinished import.
	ErrImporting = errors.New("an import into this database is unfinished: run nats-streaming-server import, or eventstore copy, again")
	// ErrMoved means that eventstore copy has moved what the database holds into another one.
	ErrMoved = errors.New("the store of this database was moved to another one by eventstore copy --follow: start the server there, since the events of two servers would part. To use this database again all the same, run UPDATE ServerInfo SET version = 1")
	// errServing means that a server uses the database.
	errServing = errors.New("a server is running on this database: stop it first")
)

// database is an open database whose lease this command holds.
type database struct {
	store *stores.Store
	state *stores.State
	kept  *keptLease
}

// openDatabase checks that no server uses the database, then migrates it and takes the lease.
func openDatabase(ctx context.Context, o stores.Options) (*database, error) {
	seen, err := awaitStopped(ctx, o)
	if err != nil {
		return nil, err
	}
	o.NoMigrate = false // the command exists to change the database
	store, err := stores.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &database{store: store}
	if err := f.start(ctx, seen); err != nil {
		return nil, errors.Join(err, f.close(ctx))
	}
	for _, d := range f.state.Damaged {
		o.Logger.Error(d.Error() + "; rows that depend on it stay as they are")
	}
	return f, nil
}

// awaitStopped returns the lease once it is certain that no server renews it.
func awaitStopped(ctx context.Context, o stores.Options) (seen stores.Lease, err error) {
	inspection, err := stores.Inspect(ctx, o)
	if errors.Is(err, fs.ErrNotExist) {
		return seen, nil // a new file
	}
	if err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, inspection.Close()) }()
	seen, err = inspection.Lease(ctx)
	poll := time.NewTicker(lease.Poll)
	defer poll.Stop()
	for since := time.Now(); err == nil && seen.Holder != "" && time.Since(since) < lease.Expiry; {
		select {
		case <-ctx.Done():
			return seen, context.Cause(ctx)
		case <-poll.C:
		}
		var now stores.Lease
		if now, err = inspection.Lease(ctx); err == nil && now != seen {
			return seen, errServing
		}
	}
	return seen, err
}

func (f *database) start(ctx context.Context, seen stores.Lease) error {
	held, _, err := f.store.TryLease(ctx, stores.NewLeaseID(), seen)
	if err != nil {
		return err
	}
	if !held {
		return errServing
	}
	if f.state, err = f.store.Recover(ctx); err != nil {
		return err
	}
	f.kept = keepLease(ctx, f.store)
	return nil
}

func (f *database) close(ctx context.Context) error { return closeStore(ctx, f.store, f.kept) }

// interrupted replaces the error of a command that the user interrupted.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: completed work stays, run the command again to continue")
	}
	return err
}
