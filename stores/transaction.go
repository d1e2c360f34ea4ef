package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// handle reads outside a transaction.
type handle struct {
	db       *sql.DB
	prepared map[string]*sql.Stmt
	timeout  time.Duration
	dialect  dialect
}

func (h *handle) query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	var rows *sql.Rows
	var err error
	if stmt := h.prepared[text]; stmt != nil {
		rows, err = stmt.QueryContext(ctx, args...)
	} else {
		rows, err = h.db.QueryContext(ctx, text, args...)
	}
	if err != nil {
		return err
	}
	return each(rows, scan)
}

var errStop = errors.New("no more rows wanted")

// isWrongType says of an error of Rows.Scan, which has no type, whether a column holds what its variable does not take. Otherwise
// it is the connection's, of which Rows.Err knows, too.
func isWrongType(rows *sql.Rows, err error) bool {
	return rows.Err() == nil && !isOurs(err) && !sqlconn.Lost(err)
}

// each scans rows to their end, or until scan returns errStop, and closes them.
func each(rows *sql.Rows, scan func(*sql.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			switch {
			case errors.Is(err, errStop):
				return nil
			case isWrongType(rows, err):
				return fmt.Errorf("%w: %w", errCorrupt, err)
			}
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}

// transaction is one that writes, after its fence.
type transaction struct {
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
	timeout  time.Duration
}

// exec executes a text with its own deadline and returns the number of rows that it changed.
func (t *transaction) exec(ctx context.Context, text string, args ...any) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	var result sql.Result
	var err error
	if stmt := t.prepared[text]; stmt != nil {
		stmt = t.tx.StmtContext(ctx, stmt)
		defer stmt.Close()
		result, err = stmt.ExecContext(ctx, args...)
	} else {
		result, err = t.tx.ExecContext(ctx, text, args...)
	}
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// execEach executes a prepared statement n times, under one deadline. args fills the slice that it is given.
func (t *transaction) execEach(ctx context.Context, text string, n int, args func(i int, to []any) []any) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	stmt := t.tx.StmtContext(ctx, t.prepared[text])
	defer stmt.Close()
	var values []any
	for i := range n {
		values = args(i, values[:0])
		if _, err := stmt.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	var rows *sql.Rows
	var err error
	if stmt := t.prepared[text]; stmt != nil {
		stmt = t.tx.StmtContext(ctx, stmt)
		defer stmt.Close()
		rows, err = stmt.QueryContext(ctx, args...)
	} else {
		rows, err = t.tx.QueryContext(ctx, text, args...)
	}
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// once runs fn in one transaction, behind the fence. The error is nil when it is committed, ErrFenced, a *txError, or
// an error of fn that is not the database's.
func (s *Store) once(ctx context.Context, fn func(*transaction) error) error {
	lease, err := s.held()
	if err != nil {
		return err
	}
	return s.attempt(ctx, func(t *transaction) error {
		changed, err := t.exec(ctx, s.text.renewLease, lease.id)
		if err != nil {
			return err
		}
		if changed == 0 {
			s.dropLease(lease.id)
			return ErrFenced
		}
		return fn(t)
	})
}

// attempt runs fn in one transaction, without a fence; fn takes the lease, proves that it is ours, or gives it up.
func (s *Store) attempt(ctx context.Context, fn func(*transaction) error) (err error) {
	began := time.Now()
	conn, err := s.connection(ctx)
	if err != nil {
		return s.txError(err, false)
	}
	defer func() {
		_ = conn.Close() // the connection goes back to the pool, or was lost
		if s.dialect.elsewhere(err) {
			// All connections lead to that server. Those made next go where writes are taken.
			for _, pool := range []*sql.DB{s.writer, s.reader.db} {
				pool.SetMaxIdleConns(0)
				pool.SetMaxIdleConns(s.options.MaxOpenConns)
			}
		}
	}()
	tx, err := s.begin(ctx, conn)
	if err != nil {
		return s.txError(err, false)
	}
	if err := fn(&transaction{tx: tx, prepared: s.prepared, timeout: s.timeout}); err != nil {
		_ = tx.Rollback() // the connection is lost if this fails, and the transaction with it
		return s.txError(err, false)
	}
	if err := tx.Commit(); err != nil {
		return s.txError(err, true)
	}
	s.proved(began)
	return nil
}

// begin begins a transaction. The context of one rolls it back when it ends, also while COMMIT is on its way. Ours does not
// end: the statements have deadlines of their own, and the connection has one for each answer, that of COMMIT included.
func (s *Store) begin(ctx context.Context, conn *sql.Conn) (*sql.Tx, error) {
	d, ok := s.dialect.(beginner)
	for {
		if ok {
			if err := d.beforeBegin(ctx, conn); err != nil {
				return nil, err
			}
		}
		began := time.Now()
		tx, err := conn.BeginTx(sqlconn.WithoutCancel(ctx), nil)
		if err == nil || !ok || !d.beginAgain(ctx, err, time.Since(began)) {
			return tx, err
		}
	}
}

func (s *Store) connection(ctx context.Context) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.writer.Conn(ctx)
}

// txError is a transaction that is not known to be committed.
type txError struct {
	err     error
	kind    failure
	unknown bool // it may be committed: the connection was lost, or the server gave up, at COMMIT
}

func (e *txError) Error() string { return e.err.Error() }
func (e *txError) Unwrap() error { return e.err }

func (s *Store) txError(err error, atCommit bool) error {
	var already *txError
	if isOurs(err) || errors.As(err, &already) {
		return err
	}
	kind := s.classify(err)
	return &txError{err: err, kind: kind, unknown: atCommit && kind == failedUnavailable}
}

func (s *Store) classify(err error) failure {
	if sqlconn.Lost(err) {
		return failedUnavailable
	}
	return s.dialect.classify(err)
}

// isOurs says whether err was made by this package, not by the database.
func isOurs(err error) bool {
	for _, ours := range []error{ErrFenced, errLongWay, ErrClosed, ErrUnknownChannel, ErrRefused, ErrUnavailable, errCorrupt, errTookOver} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// errCorrupt marks a row that can not be what this store or NATS Streaming wrote.
var errCorrupt = errors.New("unexpected content of the database")

// errTookOver ends the transaction of TryLease that another server was faster than.
var errTookOver = errors.New("another server took the lease")

// write runs fn behind the fence until a transaction is known to be committed: on conflicts, lost connections and
// unknown outcomes again, until ctx ends. fn must therefore be one that can be run twice. A *txError says that the database
// refused it.
func (s *Store) write(ctx context.Context, fn func(*transaction) error) error {
	var wait backoff
	for {
		err := s.once(ctx, fn)
		var failed *txError
		if err == nil || !errors.As(err, &failed) {
			return err
		}
		if failed.kind == failedUnique || failed.kind == failedRefused {
			return fmt.Errorf("the database refused it: %w", &txError{err: oneLine(failed.err), kind: failed.kind})
		}
		if !wait.sleep(ctx) {
			return unavailable(ctx, failed.err)
		}
	}
}

// readError wraps an error that is not tried again.
func (s *Store) readError(ctx context.Context, err error) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if isOurs(err) {
		return err
	}
	return unavailable(ctx, err)
}

// unavailable wraps the last error met, and the reason why ctx ended if it did.
func unavailable(ctx context.Context, err error) error {
	if ended := context.Cause(ctx); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w (%w)", ErrUnavailable, oneLine(err), ended)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, oneLine(err))
}

// backoff waits between attempts: 5 ms doubling to 1 s, each with a random half taken off, so that two servers do not
// meet again and again.
type backoff struct{ next time.Duration }

// sleep says whether there was time left in ctx.
func (b *backoff) sleep(ctx context.Context) bool {
	if b.next == 0 {
		b.next = 5 * time.Millisecond
	}
	timer := time.NewTimer(b.next/2 + rand.N(b.next/2))
	defer timer.Stop()
	b.next = min(2*b.next, time.Second)
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}
