// Package offline has the commands that work on a database while no server does, and verify, which may work beside one.
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
	// ErrImporting means that the database holds a part of another store.
	ErrImporting = errors.New("an import into this database was not finished: run nats-streaming-server import again")
	// errServing: an offline command must not work beside a server.
	errServing = errors.New("a server is running on this database: stop it first")
)

// database is one that is worked on while no server runs: it has the lease.
type database struct {
	store *stores.Store
	state *stores.State

	stop func()        // ends the renewal of the lease
	done chan struct{} // closed when it has ended
}

// openDatabase makes sure that no server runs on the database, migrates it, and takes the lease.
func openDatabase(ctx context.Context, o stores.Options) (*database, error) {
	seen, err := stopped(ctx, o)
	if err != nil {
		return nil, err
	}
	o.NoMigrate = false // to change the database is what the command is for
	store, err := stores.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &database{store: store, stop: func() {}, done: make(chan struct{})}
	close(f.done)
	if err := f.start(ctx, seen); err != nil {
		return nil, errors.Join(err, f.close(ctx))
	}
	for _, d := range f.state.Damaged {
		o.Logger.Error(d.Error() + "; what depends on it stays as it is")
	}
	return f, nil
}

// stopped returns the lease of a database once it is sure that no server advances it.
func stopped(ctx context.Context, o stores.Options) (seen stores.Lease, err error) {
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
	ctx, f.stop = context.WithCancel(ctx)
	f.done = make(chan struct{})
	go f.keepLease(ctx)
	return nil
}

// keepLease advances the lease while nothing is written. What keeps it from that keeps the work from going on, too.
func (f *database) keepLease(ctx context.Context) {
	defer close(f.done)
	renew := time.NewTicker(lease.Renewal)
	defer renew.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
			if errors.Is(f.store.RenewLease(ctx), stores.ErrFenced) {
				return
			}
		}
	}
}

func (f *database) close(ctx context.Context) error {
	f.stop()
	<-f.done
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease.Timeout)
	defer cancel()
	defer f.store.Close()
	return f.store.ReleaseLease(ctx)
}

// interrupted gives the error of a command whose user ended it another text.
func interrupted(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: what was done stays, run the command again to go on")
	}
	return err
}
