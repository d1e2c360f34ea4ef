package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// leaseRenewal is how often the holder of the lease advances it while it has nothing else to write.
	leaseRenewal = time.Second
	// leasePoll is how often a standby looks at the lease, and leaseExpiry how long it must stand still before
	// the standby takes it: three missed renewals.
	leasePoll   = 500 * time.Millisecond
	leaseExpiry = 3 * time.Second
)

// acquireLease returns nil once the database's lease is held by id, waiting as standby while another server
// advances it, which it tells standby. An error is that of ctx, or a database that cannot be read; the latter is waited for if it was reached
// before.
func acquireLease(ctx context.Context, store *stores.Store, id string, reached bool, standby func(), log *slog.Logger) error {
	var seen stores.Lease // what the holder last wrote
	var since time.Time   // when it was first seen
	failing := false
	poll := time.NewTicker(leasePoll)
	defer poll.Stop()
	for {
		var expired stores.Lease
		if seen.Holder != "" && time.Since(since) >= leaseExpiry {
			expired = seen
		}
		held, now, err := tryLease(ctx, store, id, expired)
		switch {
		case err == nil && held:
			return nil
		case err == nil:
			if seen.Holder == "" {
				standby()
				log.Info("Starting in standby mode", "active", now.Holder)
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
				log.Warn("Standby cannot read the lease, retrying", "error", err)
			}
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-poll.C:
		}
	}
}

// leaseTimeout bounds one look at the lease.
const leaseTimeout = 5 * time.Second

func tryLease(ctx context.Context, store *stores.Store, id string, seen stores.Lease) (bool, stores.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	return store.TryLease(ctx, id, seen)
}

// keepLease advances the lease until ctx ends, so that no standby takes it. While the database is
// unavailable no standby can take it either; when it is back, either we are first or we are fenced.
func (s *service) keepLease(ctx context.Context) {
	renew := time.NewTicker(leaseRenewal)
	defer renew.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-renew.C:
		}
		err := s.renewLease(ctx)
		if err == nil {
			s.leased.Store(int64(monotonic()))
		}
		if err != nil && ctx.Err() == nil {
			s.metrics.failed(opLease, err)
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, stores.ErrFenced):
			s.lost(err)
			return
		case err != nil && !failing:
			s.log.Error("The database is unavailable, retrying", "error", err)
		case err == nil && failing:
			s.log.Info("The database is available again")
		}
		failing = err != nil
	}
}

func (s *service) renewLease(ctx context.Context) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.store.RenewLease(ctx)
}
