package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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

var errStop = errors.New("stop reading rows")

// isWrongType reports whether an error of Rows.Scan means that the value does not fit its variable. Such errors have no
// type of their own; any other error is the connection's, which Rows.Err returns, too.
func isWrongType(rows *sql.Rows, err error) bool {
	return rows.Err() == nil && !isOurs(err) && !sqlconn.Lost(err)
}

// each scans rows to the end, or until scan returns errStop, and closes them.
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

// transaction is a writing transaction, past its fence.
type transaction struct {
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
	timeout  time.Duration
	local    bool // the database is in this process: a change waits for nothing
}

// bounded returns the context of a change. The driver of a local database would watch a context that can end, on a goroutine for each
// statement.
func (t *transaction) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if t.local {
		return context.WithoutCancel(ctx), func() {}
	}
	return context.WithTimeout(ctx, t.timeout)
}

// exec executes a text with its own deadline and returns the number of rows that it changed.
func (t *transaction) exec(ctx context.Context, text string, args ...any) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ctx, cancel := t.bounded(ctx)
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

// execEach executes a prepared statement n times, under one deadline. args fills the slice that it receives.
func (t *transaction) execEach(ctx context.Context, text string, n int, args func(i int, to []any) []any) error {
	caller := ctx
	ctx, cancel := t.bounded(ctx)
	defer cancel()
	stmt := t.tx.StmtContext(ctx, t.prepared[text])
	defer stmt.Close()
	var values []any
	for i := range n {
		if err := caller.Err(); err != nil {
			return err
		}
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

// writeOnce runs fn in one transaction, behind the fence. It returns nil after the commit; otherwise ErrFenced, a
// *txError, or an error of fn that does not come from the database.
func (s *Store) writeOnce(ctx context.Context, fn func(*transaction) error) error {
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

// attempt runs fn in one transaction, without a fence. fn takes the lease, proves that it is ours, or gives it up.
func (s *Store) attempt(ctx context.Context, fn func(*transaction) error) (err error) {
	began := time.Now()
	conn, err := s.connection(ctx)
	if err != nil {
		return s.txError(err, false)
	}
	defer func() {
		_ = conn.Close() // returns the connection to the pool, or it was lost
		if s.dialect.refusesWrites(err) {
			// All connections lead to that server. Drop them: new ones go where writes are accepted.
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
	if err := fn(&transaction{tx: tx, prepared: s.prepared, timeout: s.timeout, local: s.local}); err != nil {
		_ = tx.Rollback() // if this fails, the connection is lost and the transaction with it
		return s.txError(err, false)
	}
	if err := tx.Commit(); err != nil {
		return s.txError(err, true)
	}
	s.proved(began)
	return nil
}

// begin begins a transaction. database/sql rolls a transaction back when its context ends, even while COMMIT is on its
// way, so this context never ends. Each statement has its own deadline, and the connection has one for each answer,
// including COMMIT's.
func (s *Store) begin(ctx context.Context, conn *sql.Conn) (*sql.Tx, error) {
	d, ok := s.dialect.(beginPreparer)
	for {
		if ok {
			if err := d.beforeBegin(ctx, conn); err != nil {
				return nil, err
			}
		}
		began := time.Now()
		tx, err := conn.BeginTx(sqlconn.WithoutCancel(ctx), nil)
		if err == nil || !ok || !d.retryBegin(ctx, err, time.Since(began)) {
			return tx, err
		}
	}
}

func (s *Store) connection(ctx context.Context) (*sql.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.writer.Conn(ctx)
}

// txError is the failure of a transaction that is not known to be committed.
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

// isOurs reports whether this package, not the database, made err.
func isOurs(err error) bool {
	for _, ours := range []error{ErrFenced, errNeedsTransaction, ErrClosed, ErrUnknownChannel, ErrRefused, ErrUnavailable, errCorrupt, errLeaseTaken, ErrSetup} {
		if errors.Is(err, ours) {
			return true
		}
	}
	return false
}

// errCorrupt marks a row that neither this store nor NATS Streaming can have written.
var errCorrupt = errors.New("unexpected content in the database")

// errLeaseTaken ends the transaction of TryLease if another server was faster.
var errLeaseTaken = errors.New("another server took the lease")

// write runs fn behind the fence until a transaction is known to be committed. It retries conflicts, lost connections
// and unknown outcomes until ctx ends, so fn must be safe to run twice. A *txError means that the database refused it.
func (s *Store) write(ctx context.Context, fn func(*transaction) error) error {
	var wait backoff
	for {
		err := s.writeOnce(ctx, fn)
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

// retryRead retries a read until ctx ends. A *txError means that the database refused a value of the question, which
// would be refused again.
func (s *Store) retryRead(ctx context.Context, read func() error) error {
	var wait backoff
	for {
		err := read()
		if err == nil {
			return nil
		}
		if s.closed.Load() {
			return ErrClosed
		}
		if isOurs(err) {
			return err
		}
		if s.classify(err) == failedRefused {
			return &txError{err: oneLine(err), kind: failedRefused}
		}
		if !wait.sleep(ctx) {
			return unavailable(ctx, err)
		}
	}
}

// readError wraps an error that is not retried.
func (s *Store) readError(ctx context.Context, err error) error {
	if s.closed.Load() {
		return ErrClosed
	}
	if isOurs(err) {
		return err
	}
	if s.classify(err) == failedRefused {
		return fmt.Errorf("%w: %w", ErrRefused, oneLine(err))
	}
	return unavailable(ctx, err)
}

// unavailable wraps the last error, its remedy and, if ctx ended, the reason.
func unavailable(ctx context.Context, err error) error {
	err = withRemedy(err)
	if ended := context.Cause(ctx); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w (%w)", ErrUnavailable, oneLine(err), ended)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, oneLine(err))
}
