package stores

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// maxLeaseID is the width of StoreLock.id, in bytes.
const maxLeaseID = 30

// Lease is the row of StoreLock: who may write the database, and a counter that each of its writes advances.
type Lease struct {
	Holder string // "" when the last holder released it
	Tick   uint64
}

// lease is one that we hold.
type lease struct {
	id string // ours in StoreLock
	// epoch is part of what a batch that travels as one text asserts. It ends when such a text may still be on its way, so
	// that it has no effect when it comes. Only a batchWriter has one.
	epoch uint64
}

// TryLease takes the lease for id if it is free, that is released, or id's already, or if its holder is dead for certain: a
// process of this host that has ended, or one that would have the lock of the file on SQLite. held says whether it is ours then.
//
// If another holds it, now is what TryLease saw. A server that sees the same Lease for longer than a living holder
// would let pass without a write (each commit and RenewLease advances Tick), passes it as seen: the lease is taken over
// if it still is exactly that. With the zero Lease nothing is taken over.
//
// id must be unique to the running server, not to its configuration, and 1 to 30 bytes long; with that of NewLeaseID others
// can know that its holder is dead. On SQLite nobody has the lease who has not the lock of the file, which a living process
// keeps however long it stands still. The error is ErrUnavailable; call it again.
func (s *Store) TryLease(ctx context.Context, id string, seen Lease) (held bool, now Lease, err error) {
	if id == "" || len(id) > maxLeaseID {
		return false, Lease{}, fmt.Errorf("lease id %q: its length is not 1 to %d bytes", id, maxLeaseID)
	}
	if s.closed.Load() {
		return false, Lease{}, ErrClosed
	}
	now, err = s.readLease(ctx)
	if err != nil {
		return false, Lease{}, err
	}
	defer s.unlock()
	free, err := s.isFree(id, now, seen)
	if err != nil {
		return false, now, s.readError(ctx, fmt.Errorf("take lease: %w", err))
	}
	if !free {
		return false, now, nil
	}
	taken := lease{id: id}
	// Two that want the row at once wait for each other here, and the second finds it changed.
	err = s.attempt(ctx, func(t *transaction) error {
		changed, err := t.exec(ctx, s.text.takeLease, id, now.Holder, now.Tick)
		if err == nil && changed == 0 {
			return errTookOver
		}
		if err == nil && s.prepared != nil { // else there may be no epoch yet
			taken.epoch, err = s.endEpoch(ctx, t)
		}
		return err
	})
	if errors.Is(err, errTookOver) {
		now, err = s.readLease(ctx)
		return false, now, err
	}
	if err != nil {
		// Also after an unknown outcome: the next call finds id in the row.
		return false, now, s.readError(ctx, fmt.Errorf("take lease: %w", err))
	}
	s.mu.Lock()
	s.lease, s.lost = taken, nil
	s.mu.Unlock()
	if l, ok := s.dialect.(locker); ok {
		_ = l.lock() // again, if it was given up meanwhile with a lease that was lost
	}
	return true, Lease{Holder: id, Tick: now.Tick + 1}, nil
}

// isFree says whether id may take the lease. If the database can be locked it is then, though not only then.
func (s *Store) isFree(id string, now, seen Lease) (bool, error) {
	free := now.Holder == "" || now.Holder == id || now == seen || isDead(now.Holder)
	l, ok := s.dialect.(locker)
	if !ok {
		return free, nil
	}
	switch err := l.lock(); {
	case errors.Is(err, errLocked):
		return false, nil
	case errors.Is(err, errNoLocks):
		return free, nil
	case err != nil:
		return false, err
	}
	_, locks := holder(now.Holder) // if it lived it would have the lock
	return free || locks, nil
}

// unlock lets others have the database, unless the lease is held.
func (s *Store) unlock() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if l, ok := s.dialect.(locker); ok && (s.lease.id == "" || s.closed.Load()) {
		l.unlock()
	}
}

func (s *Store) readLease(ctx context.Context) (Lease, error) {
	var lease Lease
	found := 0
	err := s.own.query(ctx, s.text.readLease, func(rows *sql.Rows) error {
		var holder sql.NullString
		if err := rows.Scan(&holder, &lease.Tick); err != nil {
			return err
		}
		lease.Holder = holder.String
		found++
		return nil
	})
	if err != nil {
		return Lease{}, s.readError(ctx, fmt.Errorf("read lease: %w", err))
	}
	if found != 1 { // two servers could hold one each
		return Lease{}, fmt.Errorf("read lease: %w: table StoreLock has %d rows, not 1", errCorrupt, found)
	}
	return lease, nil
}

// RenewLease shows others that the holder lives. Each commit does so too. It returns ErrFenced if the lease is no longer
// ours, and tries until ctx ends otherwise.
func (s *Store) RenewLease(ctx context.Context) error {
	return s.write(ctx, func(*transaction) error { return nil })
}

// ReleaseLease gives the lease up after the last write, so that the next server need not wait. It is no error if the
// lease is not ours. It tries until ctx ends.
func (s *Store) ReleaseLease(ctx context.Context) error {
	s.mu.Lock()
	id := s.lease.id
	s.lease = lease{}
	s.mu.Unlock()
	if id == "" {
		return nil
	}
	defer s.unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	var wait backoff
	for { // connections that were idle may be broken
		err := s.attempt(ctx, func(t *transaction) error {
			_, err := t.exec(ctx, s.text.releaseLease, id)
			return err
		})
		if err == nil {
			return nil
		}
		if failed := (*txError)(nil); !errors.As(err, &failed) || !wait.sleep(ctx) {
			return fmt.Errorf("release lease: %w", s.readError(ctx, err))
		}
	}
}

// LeaseAge is how long ago the last transaction began that proved the lease to be ours. Until a standby's patience is
// over since then, nobody else can have taken it, if no clock stood still.
func (s *Store) LeaseAge() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return time.Since(s.provedAt)
}

// proved notes that a transaction which began then proved the lease to be ours.
func (s *Store) proved(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if began.After(s.provedAt) {
		s.provedAt = began
	}
}

// held returns the lease that we hold as far as memory knows, or why there is none.
func (s *Store) held() (lease, error) {
	if s.closed.Load() {
		return lease{}, ErrClosed
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.lease.id == "" {
		return lease{}, cmp.Or(s.lost, ErrFenced)
	}
	return s.lease, nil
}

func (s *Store) dropLease(id string) {
	s.mu.Lock()
	if s.lease.id == id {
		s.lease = lease{}
	}
	s.mu.Unlock()
	s.unlock()
}

// loseLease gives up a lease that is worth nothing: what is asked for later has the error why.
func (s *Store) loseLease(why error) {
	s.mu.Lock()
	s.lease, s.lost = lease{}, why
	s.mu.Unlock()
	s.unlock()
}

// endEpoch ends the epoch of the lease in a transaction that holds it, and returns the next, which begins for the database
// when that is committed, and for this server with beginEpoch.
func (s *Store) endEpoch(ctx context.Context, t *transaction) (next uint64, err error) {
	if s.batches == nil {
		return 0, nil
	}
	if _, err := t.exec(ctx, "UPDATE StoreLock SET epoch = epoch + 1"); err != nil {
		return 0, err
	}
	err = t.query(ctx, "SELECT epoch FROM StoreLock", func(rows *sql.Rows) error { return rows.Scan(&next) })
	return next, err
}

// nextEpoch begins an epoch of the lease that is held.
func (s *Store) nextEpoch(ctx context.Context) error {
	lease, err := s.held()
	if err != nil {
		return err
	}
	var epoch uint64
	err = s.write(ctx, func(t *transaction) (err error) {
		epoch, err = s.endEpoch(ctx, t)
		return err
	})
	if err == nil {
		s.beginEpoch(lease, epoch)
	}
	return err
}

// beginEpoch is for the lease that was held before, unless it was lost since.
func (s *Store) beginEpoch(was lease, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == was {
		s.lease.epoch = next
	}
}
