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

// Lease is the row of StoreLock: who may write to the database, and a counter that advances with each write.
type Lease struct {
	Holder string // "" if the last holder released it
	Tick   uint64
}

// lease is a lease that this store holds.
type lease struct {
	id string // our ID in StoreLock
	// epoch is part of what a batch sent as one text asserts. A new epoch begins while such a text may still be on its
	// way, so that it has no effect when it arrives. Only a batchWriter has epochs.
	epoch uint64
}

// TryLease takes the lease for id if it is released, already id's, or its holder is certainly dead. A holder is dead if
// its process on this host has ended or, on SQLite, if the file's lock is free. held reports whether the lease is ours.
//
// If another holds it, now is what TryLease saw. Each commit and each RenewLease advances Tick. A server that sees the
// same Lease for longer than a live holder can stay silent passes it as seen. TryLease then takes the lease over if it
// has not changed. The zero Lease takes nothing over.
//
// id must be unique to the running server, not to its configuration, and 1 to 30 bytes long. With an ID of NewLeaseID
// others can tell that its holder is dead. On SQLite only the process that locks the file can hold the lease, and a
// live process keeps that lock however long it stalls. The error is ErrUnavailable; call TryLease again.
func (s *Store) TryLease(ctx context.Context, id string, seen Lease) (held bool, now Lease, err error) {
	if id == "" || len(id) > maxLeaseID {
		return false, Lease{}, fmt.Errorf("lease id %q: must be 1 to %d bytes long", id, maxLeaseID)
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
	// Two servers that want the row at once wait for each other here, and the second finds it changed.
	err = s.attempt(ctx, func(t *transaction) error {
		changed, err := t.exec(ctx, s.text.takeLease, id, now.Holder, now.Tick)
		if err == nil && changed == 0 {
			return errLeaseTaken
		}
		if err == nil && s.prepared != nil { // otherwise the schema may have no epoch yet
			taken.epoch, err = s.endEpoch(ctx, t)
		}
		return err
	})
	if errors.Is(err, errLeaseTaken) {
		now, err = s.readLease(ctx)
		return false, now, err
	}
	if err != nil {
		// Also after an unknown outcome: the next call finds id in the row.
		return false, now, s.readError(ctx, fmt.Errorf("take lease: %w", err))
	}
	s.mu.Lock()
	s.lease, s.lossReason = taken, nil
	s.mu.Unlock()
	if l, ok := s.dialect.(locker); ok {
		_ = l.lock() // again, if a lost lease released it meanwhile
	}
	return true, Lease{Holder: id, Tick: now.Tick + 1}, nil
}

// isFree reports whether id may take the lease. If the database can be locked, it then locks it, even if the lease is
// not free.
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
	_, locks := holder(now.Holder) // a live holder would have the lock
	return free || locks, nil
}

// unlock lets others lock the database, unless this store holds the lease.
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
	if found != 1 { // with two rows, two servers could each hold one
		return Lease{}, fmt.Errorf("read lease: %w: table StoreLock has %d rows, not 1", errCorrupt, found)
	}
	return lease, nil
}

// RenewLease shows others that the holder is alive, as each commit does. It returns ErrFenced if the lease is no longer
// ours; otherwise it retries until ctx ends.
func (s *Store) RenewLease(ctx context.Context) error {
	return s.write(ctx, func(*transaction) error { return nil })
}

// ReleaseLease gives up the lease after the last write, so that the next server need not wait. It does nothing if the
// lease is not ours. It retries until ctx ends.
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
	for { // idle connections may be broken
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

// LeaseAge returns how long ago the last transaction that proved the lease ours began. No other server can take the
// lease before a standby's patience has passed since then, unless a clock stood still.
func (s *Store) LeaseAge() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return time.Since(s.provedAt)
}

// proved notes that a transaction that began at that time proved the lease ours.
func (s *Store) proved(began time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if began.After(s.provedAt) {
		s.provedAt = began
	}
}

// held returns the lease that memory says we hold, or why there is none.
func (s *Store) held() (lease, error) {
	if s.closed.Load() {
		return lease{}, ErrClosed
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.lease.id == "" {
		return lease{}, cmp.Or(s.lossReason, ErrFenced)
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

// loseLease gives up a lease that is worthless. Later calls return why.
func (s *Store) loseLease(why error) {
	s.mu.Lock()
	s.lease, s.lossReason = lease{}, why
	s.mu.Unlock()
	s.unlock()
}

// endEpoch ends the epoch of the lease in a transaction that holds it, and returns the next one. That epoch begins for
// the database at the commit, and for this server with beginEpoch.
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

// nextEpoch begins a new epoch of the held lease.
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

// beginEpoch applies to the lease held before, unless it was lost since.
func (s *Store) beginEpoch(was lease, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == was {
		s.lease.epoch = next
	}
}
