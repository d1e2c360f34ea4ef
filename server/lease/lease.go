// Package lease waits for the lease of a database, and keeps it.
package lease

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// Renewal is how often the holder of the lease advances it while it has nothing else to write.
	Renewal = time.Second
	// Poll is how often a standby looks at the lease.
	Poll = 500 * time.Millisecond
	// Expiry is how long the lease must stand still before a standby takes it: three missed renewals.
	Expiry = 3 * time.Second
	// Timeout bounds one look at the lease.
	Timeout = 5 * time.Second
)

// Standby waits for the lease.
type Standby struct {
	Store *stores.Store
	ID    string // of this server
	// Waiting is called when another server holds the lease.
	Waiting func()
	// Able reports whether this server could serve if it had the lease; while it cannot, it leaves the lease to others.
	Able func() bool
	Log  *slog.Logger
}

// Acquire returns nil once this server holds the lease. An error is that of ctx, or of a database that cannot be read; the
// latter is waited for if reached says that the database was reached before.
func (s *Standby) Acquire(ctx context.Context, reached bool) error {
	var seen stores.Lease // what the holder last wrote
	var since time.Time   // when it was first seen
	failing, unable := false, false
	poll := time.NewTicker(Poll)
	defer poll.Stop()
	for {
		if able := s.Able(); able == unable {
			if unable = !able; unable {
				s.Log.Warn("Not connected to NATS, leaving the lease to other servers")
				s.Waiting()
			} else {
				s.Log.Info("Connected to NATS again, waiting for the lease")
			}
		}
		if !unable {
			var expired stores.Lease
			if seen.Holder != "" && time.Since(since) >= Expiry {
				expired = seen
			}
			held, now, err := s.try(ctx, expired)
			switch {
			case err == nil && held:
				return nil
			case err == nil:
				if seen.Holder == "" {
					s.Waiting()
					s.Log.Info("Starting in standby mode", "active", now.Holder)
				}
				if now != seen {
					seen, since = now, time.Now()
				}
				reached = true
			case ctx.Err() != nil || !reached || !errors.Is(err, stores.ErrUnavailable):
				return err
			default:
				// What was seen before the outage says nothing about who lives after it.
				since = time.Now()
				if !failing {
					s.Log.Warn("Standby cannot read the lease, retrying", "error", err)
				}
			}
			failing = err != nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}

func (s *Standby) try(ctx context.Context, seen stores.Lease) (bool, stores.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return s.Store.TryLease(ctx, s.ID, seen)
}

// Keep advances the lease until ctx ends, so that no standby takes it, or returns stores.ErrFenced once another server has it.
// While the database is unavailable no standby can take it either; when it is back, either this server is first or it is
// fenced. timeout bounds one attempt; failed is told of each that failed.
func Keep(ctx context.Context, store *stores.Store, timeout time.Duration, failed func(error), log *slog.Logger) error {
	renew := time.NewTicker(Renewal)
	defer renew.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
		}
		err := renewOnce(ctx, store, timeout)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			failed(err)
		}
		switch {
		case errors.Is(err, stores.ErrFenced):
			return err
		case err != nil && !failing:
			log.Error("The database is unavailable, retrying", "error", err)
		case err == nil && failing:
			log.Info("The database is available again")
		}
		failing = err != nil
	}
}

func renewOnce(ctx context.Context, store *stores.Store, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return store.RenewLease(ctx)
}
