package stores

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// single is the connection that sends each batch in one round trip, as a text that commits itself. It stays open from
// batch to batch. A pool would prepare such a statement anew each time. With a statement prepared for the whole pool,
// it would send the text twice when a connection breaks, although the first may have committed.
type single struct {
	db       *sql.DB       // the source of the connection
	writer   batchWriter   // the dialect
	lifetime time.Duration // age at which the connection is replaced
	timeout  time.Duration // of a text

	mu         sync.Mutex // guards the fields below; held while a text runs
	closed     bool
	conn       *sql.Conn // nil if none is open
	prepared   map[string]*sql.Stmt
	interrupt  func() // see batchWriter
	made, used time.Time
}

// singleIdle is the pause after which the connection is replaced, because servers and networks cut idle ones.
const singleIdle = 30 * time.Second

// run calls fn, which sends texts through query or exec, behind the fence. The error is marked unknown if it may have
// come after the commit.
func (s *single) run(ctx context.Context, store *Store, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.connect(ctx); err != nil {
		return store.txError(err, false)
	}
	began := time.Now()
	err := s.unwatched(ctx, fn)
	s.used = time.Now()
	if err == nil {
		store.proved(began)
		return nil
	}
	err = store.txError(err, true)
	if failed := (*txError)(nil); errors.As(err, &failed) && failed.kind == failedUnavailable {
		s.drop()
	}
	return err
}

// unwatched calls fn with a context that no driver needs to watch: that would take two goroutines for each statement, which cost a
// lone publisher more than the statement's own work here. When ctx ends, the statement is interrupted, if it still runs.
func (s *single) unwatched(ctx context.Context, fn func(ctx context.Context) error) error {
	if s.interrupt == nil {
		return fn(ctx)
	}
	interrupted := make(chan struct{})
	interrupt := s.interrupt
	finish := context.AfterFunc(ctx, func() {
		interrupt()
		close(interrupted)
	})
	err := fn(sqlconn.WithoutCancel(ctx))
	if !finish() {
		<-interrupted // it must not hit the next statement
	}
	return err
}

func (s *single) connect(ctx context.Context) error {
	if s.closed {
		return ErrClosed
	}
	now := time.Now()
	if s.conn != nil && (now.Sub(s.made) > s.lifetime || now.Sub(s.used) > singleIdle) {
		s.drop()
	}
	if s.conn != nil {
		return nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	interrupt, err := s.writer.interrupter(ctx, conn, s.db)
	if err != nil {
		_ = conn.Close()
		return err
	}
	s.conn, s.prepared, s.interrupt, s.made = conn, map[string]*sql.Stmt{}, interrupt, now
	return nil
}

// drop ends the connection, and with it any open transaction. The connection does not go back to its pool, which does
// not track its statements.
func (s *single) drop() {
	if s.conn != nil {
		_ = s.conn.Raw(func(any) error { return driver.ErrBadConn })
		s.conn, s.prepared = nil, nil
	}
}

// close ends the connection for good, after a running text.
func (s *single) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	s.closed = true
}

// query calls scan for each row of a text, which it prepares on first use.
func (s *single) query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	stmt := s.prepared[text]
	if stmt == nil {
		var err error
		if stmt, err = s.conn.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // closed with its connection
			return err
		}
		s.prepared[text] = stmt
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// exec executes a text that is not prepared.
func (s *single) exec(ctx context.Context, text string, args ...any) error {
	_, err := s.conn.ExecContext(ctx, text, args...)
	return err
}
