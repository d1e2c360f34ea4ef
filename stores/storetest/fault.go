package storetest

import (
	"context"
	"database/sql/driver"
	"io"
	"sync"
	"time"
)

// Faults makes connections fail, in the ways that networks and servers do. Set Options.WrapConnector to its method Wrap.
type Faults struct {
	mu     sync.Mutex
	commit []CommitFault
	begin  []error
	after  []error // become begin when a commit was lost
	late   sync.WaitGroup
}

// CommitFault is what happens to a COMMIT.
type CommitFault int

// The ways in which a COMMIT is lost.
const (
	LostBefore CommitFault = iota // the connection ends before the server sees it, which rolls back
	LostAfter                     // the server commits, and the connection ends before its answer
	LateCommit                    // as LostAfter, but the server commits while the client goes on. Not for SQLite, whose client is the server
)

// Commits lets the next commits meet faults, in order.
func (f *Faults) Commits(faults ...CommitFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commit = append(f.commit, faults...)
}

// Begins lets the next transactions fail to begin.
func (f *Faults) Begins(errors ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begin = append(f.begin, errors...)
}

// BeginsAfterCommit lets transactions fail to begin after the next commit that meets a fault.
func (f *Faults) BeginsAfterCommit(errors ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = append(f.after, errors...)
}

// Left is the number of faults that did not happen yet.
func (f *Faults) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.commit) + len(f.begin)
}

// Wait waits for late commits.
func (f *Faults) Wait() { f.late.Wait() }

// Clear forgets faults that did not happen yet.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commit, f.begin, f.after = nil, nil, nil
}

// Wrap returns a connector whose connections have the faults.
func (f *Faults) Wrap(c driver.Connector) driver.Connector { return &connector{c, f} }

type connector struct {
	driver.Connector
	faults *Faults
}

func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: inner, faults: c.faults}, nil
}

type conn struct {
	driver.Conn
	faults *Faults
	broken bool // the client has lost it
	late   bool // the server has not, yet: it is left to a goroutine
}

func (c *conn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	inner, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return &stmt{inner, c}, nil
}

type stmt struct {
	driver.Stmt
	conn *conn
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (s *stmt) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}

func (s *stmt) Close() error {
	if s.conn.late {
		return nil
	}
	return s.Stmt.Close()
}

func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, text, args)
}

func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, text, args)
}

func (c *conn) Ping(ctx context.Context) error { return c.Conn.(driver.Pinger).Ping(ctx) }

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *conn) ResetSession(ctx context.Context) error {
	if resetter, ok := c.Conn.(driver.SessionResetter); ok && !c.broken {
		return resetter.ResetSession(ctx)
	}
	return nil
}

func (c *conn) IsValid() bool {
	if c.broken {
		return false
	}
	validator, ok := c.Conn.(driver.Validator)
	return !ok || validator.IsValid()
}

func (c *conn) Close() error {
	if c.late {
		return nil
	}
	return c.Conn.Close()
}

func (c *conn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.faults.mu.Lock()
	var err error
	if len(c.faults.begin) > 0 {
		err, c.faults.begin = c.faults.begin[0], c.faults.begin[1:]
	}
	c.faults.mu.Unlock()
	if err != nil {
		c.broken = true
		return nil, err
	}
	inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return &tx{inner, c}, nil
}

type tx struct {
	driver.Tx
	conn *conn
}

func (t *tx) Commit() error {
	f := t.conn.faults
	f.mu.Lock()
	fault := CommitFault(-1)
	if len(f.commit) > 0 {
		fault, f.commit = f.commit[0], f.commit[1:]
		f.begin, f.after = append(f.begin, f.after...), nil
	}
	f.mu.Unlock()
	switch fault {
	case LostBefore:
		t.conn.broken = true
		_ = t.Rollback()
		return io.ErrUnexpectedEOF
	case LostAfter:
		if err := t.Tx.Commit(); err != nil {
			return err
		}
		t.conn.broken = true
		return io.ErrUnexpectedEOF
	case LateCommit:
		// The client goes on at once; the server, which holds the locks of the transaction, is slower.
		t.conn.broken, t.conn.late = true, true
		f.late.Go(func() {
			time.Sleep(20 * time.Millisecond)
			_ = t.Tx.Commit()
			_ = t.conn.Conn.Close()
		})
		return io.ErrUnexpectedEOF
	}
	return t.Tx.Commit()
}
