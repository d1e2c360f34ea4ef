package storetest

import (
	"context"
	"database/sql/driver"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Faults makes connections fail as networks and servers do. Set Options.WrapConnector to its method Wrap.
type Faults struct {
	mu     sync.Mutex
	commit []CommitFault
	begin  []error
	gone   func() // becomes refuse when a commit is lost
	refuse func() // if set, all transactions fail to begin, and each calls it
	late   sync.WaitGroup
	first  func(text string) // argument of Before
	held   chan struct{}     // of the next late text that commits itself; nil: it arrives after a moment
}

// CommitFault is a fault of a COMMIT, or of a text that commits itself.
type CommitFault int

// The ways to lose a COMMIT.
const (
	noFault    CommitFault = iota - 1
	LostBefore             // the connection ends before the server sees it; the server rolls back
	LostAfter              // the server commits, and the connection ends before its answer
	LateCommit             // like LostAfter, but the server commits while the client continues. Not on SQLite, which has no server
)

// Commits makes the next commits meet faults, in order.
func (f *Faults) Commits(faults ...CommitFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commit = append(f.commit, faults...)
}

// Begins makes the next transactions fail to begin.
func (f *Faults) Begins(errors ...error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begin = append(f.begin, errors...)
}

// GoneAfterCommit makes the database unreachable from the next faulty commit until Clear: transactions fail to begin,
// and each failure calls refused.
func (f *Faults) GoneAfterCommit(refused func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = refused
}

func (f *Faults) nextBegin() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		f.refuse()
		return syscall.ECONNREFUSED
	}
	if len(f.begin) > 0 {
		err, f.begin = f.begin[0], f.begin[1:]
	}
	return err
}

func (f *Faults) nextCommit() CommitFault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.commit) == 0 {
		return noFault
	}
	fault := f.commit[0]
	f.commit = f.commit[1:]
	f.refuse, f.gone = f.gone, nil
	return fault
}

// HoldLate delays the next LateCommit of a text that commits itself until release is called.
func (f *Faults) HoldLate() (release func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := make(chan struct{})
	f.held = held
	return sync.OnceFunc(func() { close(held) })
}

// HoldQueries delays the queries that name a table until release is called. Each of them calls waiting.
func (f *Faults) HoldQueries(table string, waiting func()) (release func()) {
	held := make(chan struct{})
	f.Before(func(text string) {
		if strings.Contains(text, " FROM "+table) {
			waiting()
			<-held
		}
	})
	return sync.OnceFunc(func() { close(held) })
}

// Before calls do before each statement outside transactions, and before each query.
func (f *Faults) Before(do func(text string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = do
}

func (f *Faults) before(text string) {
	f.mu.Lock()
	first := f.first
	f.mu.Unlock()
	if first != nil {
		first(text)
	}
}

func (f *Faults) nextHeld() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	held := f.held
	f.held = nil
	return held
}

// Left returns the number of faults that have not happened yet.
func (f *Faults) Left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.commit) + len(f.begin)
}

// Wait waits for late commits.
func (f *Faults) Wait() { f.late.Wait() }

// Clear removes the faults that have not happened yet.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commit, f.begin, f.gone, f.refuse = nil, nil, nil, nil
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
	broken bool // the client has lost the connection
	late   bool // the server still has it: a goroutine finishes the work
}

// Break lets the store end the connection as it does in production.
func (c *conn) Break() { c.Conn.(interface{ Break() }).Break() }

func (c *conn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	inner, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return &stmt{inner, c, text}, nil
}

type stmt struct {
	driver.Stmt
	conn *conn
	text string
}

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.conn.faults.before(s.text)
	query := s.Stmt.(driver.StmtQueryContext).QueryContext
	if !commitsItself(s.text) {
		return query(ctx, args)
	}
	return alone(s.conn, func(lost bool) (driver.Rows, error) {
		if lost {
			ctx = context.Background()
		}
		rows, err := query(ctx, args)
		if err == nil && lost {
			err = rows.Close() // after running to its end
		}
		return rows, err
	})
}

// commitsItself reports whether a text is a batch that is its own transaction.
func commitsItself(text string) bool {
	return strings.HasPrefix(text, "WITH fence") || strings.HasPrefix(text, "START TRANSACTION;")
}

// alone runs a text that commits itself, with the next fault of a transaction's begin or commit.
func alone[R any](c *conn, run func(lost bool) (R, error)) (R, error) {
	var none R
	if err := c.faults.nextBegin(); err != nil {
		c.broken = true
		return none, err
	}
	fault := c.faults.nextCommit()
	c.broken = fault != noFault
	switch fault {
	case LostBefore:
		return none, io.ErrUnexpectedEOF
	case LostAfter:
		if _, err := run(true); err != nil {
			return none, err
		}
		return none, io.ErrUnexpectedEOF
	case LateCommit:
		// The client continues before the server even takes the locks.
		c.late = true
		held := c.faults.nextHeld()
		c.faults.late.Go(func() {
			if held == nil {
				time.Sleep(20 * time.Millisecond)
			} else {
				<-held
			}
			_, _ = run(true)
			_ = c.Conn.Close()
		})
		return none, io.ErrUnexpectedEOF
	}
	return run(false)
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
	c.faults.before(text)
	exec := c.Conn.(driver.ExecerContext).ExecContext
	if !commitsItself(text) {
		return exec(ctx, text, args)
	}
	return alone(c, func(lost bool) (driver.Result, error) {
		if lost {
			ctx = context.Background()
		}
		return exec(ctx, text, args)
	})
}

func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	c.faults.before(text)
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
	if err := c.faults.nextBegin(); err != nil {
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
	switch f.nextCommit() {
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
		// The client continues at once; the server, which holds the locks of the transaction, is slower.
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
