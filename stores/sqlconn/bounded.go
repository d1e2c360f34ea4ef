package sqlconn

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// When a statement's context ends, a driver asks the database to cancel it and waits for the answer. For COMMIT it
// waits without a context. A silent database or network never answers, and nothing ends the connection. The connection
// therefore keeps the caller's deadline itself.

// AnswerGrace is how much longer than a context the connection waits for the answer to a cancelled statement, or to a
// COMMIT sent in time. After that it is lost.
const AnswerGrace = time.Second

// lineConn is a network connection whose reads and writes have deadlines.
type lineConn struct {
	net.Conn
	read, write time.Duration             // for one call, if the driver sets none; 0 means no limit
	until       atomic.Pointer[time.Time] // deadline of what runs now; nil means no limit
	most        int64                     // bytes to read before it breaks; 0 means no limit
	got         atomic.Int64              // bytes read
}

// dialLine dials within the deadline of ctx, which also covers the driver's handshake. The connection breaks after most bytes unless that is 0.
func dialLine(ctx context.Context, network, address string, read, write time.Duration, most int64) (net.Conn, error) {
	to, ok := ctx.Value(dialledKey{}).(*dialled)
	if !ok {
		// The driver wants to cancel a statement, and the caller waits for that.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, AnswerGrace)
		defer cancel()
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &lineConn{Conn: conn, read: read, write: write, most: most}
	if deadline, ok := ctx.Deadline(); ok {
		c.until.Store(&deadline)
	}
	if to != nil {
		to.line = c
	}
	return c, nil
}

func (c *lineConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(after(c.read)); err != nil {
		return 0, err
	}
	if c.most == 0 {
		return c.Conn.Read(b)
	}
	left := c.most - c.got.Load()
	if left <= 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes: %w", c.most, net.ErrClosed)
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.got.Add(int64(n))
	return n, err
}

func (c *lineConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(after(c.write)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// SetReadDeadline sets the earlier of t, which may be zero, and the deadline of what runs now.
func (c *lineConn) SetReadDeadline(t time.Time) error { return c.Conn.SetReadDeadline(c.earlier(t)) }

// SetWriteDeadline works like SetReadDeadline.
func (c *lineConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(c.earlier(t)) }

func (c *lineConn) earlier(t time.Time) time.Time {
	if until := c.until.Load(); until != nil && (t.IsZero() || until.Before(t)) {
		return *until
	}
	return t
}

// SyscallConn lets a driver check whether the other side has closed the connection.
func (c *lineConn) SyscallConn() (syscall.RawConn, error) {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("%T has no file descriptor", c.Conn)
	}
	return conn.SyscallConn()
}

// dialled tells a connector which line its driver has dialled.
type dialled struct{ line *lineConn }

type dialledKey struct{}

// answerKey is the key of a deadline in a context that has none itself, because its transaction must not be rolled back
// while COMMIT is on its way.
type answerKey struct{}

// WithoutCancel returns a context that does not end, for a transaction, or for a statement that the caller interrupts itself. The
// deadline of ctx bounds the answer to BEGIN, or to the statement.
func WithoutCancel(ctx context.Context) context.Context {
	endless := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithValue(endless, answerKey{}, deadline)
	}
	return endless
}

// boundedConn tells its line each caller's deadline. COMMIT and ROLLBACK share the deadline of the statement before
// them.
type boundedConn struct {
	driver.Conn
	line *lineConn
}

func (c *boundedConn) bound(ctx context.Context) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline, ok = ctx.Value(answerKey{}).(time.Time)
	}
	if !ok {
		c.line.until.Store(nil)
		return
	}
	c.boundBy(deadline)
}

func (c *boundedConn) boundBy(deadline time.Time) {
	deadline = deadline.Add(AnswerGrace)
	c.line.until.Store(&deadline)
}

// Breaker is a connection that another goroutine can end while a statement runs on it. The connections of this package to servers
// are.
type Breaker interface{ Break() }

// Break ends the connection. What runs on it fails at once.
func (c *boundedConn) Break() {
	_ = c.line.Close() // a deadline could be replaced by that of a read which begins now
}

// Close says goodbye to the database.
func (c *boundedConn) Close() error {
	c.boundBy(time.Now())
	return c.Conn.Close()
}

func (c *boundedConn) Ping(ctx context.Context) error {
	c.bound(ctx)
	return c.Conn.(driver.Pinger).Ping(ctx)
}

func (c *boundedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	c.bound(ctx)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, text, args)
}

func (c *boundedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	c.bound(ctx)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, text, args)
}

func (c *boundedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.bound(ctx)
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
}

func (c *boundedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	c.bound(ctx)
	stmt, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return &boundedStmt{stmt, c}, nil
}

func (c *boundedConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *boundedConn) ResetSession(ctx context.Context) error {
	return c.Conn.(driver.SessionResetter).ResetSession(ctx)
}

func (c *boundedConn) IsValid() bool { return c.Conn.(driver.Validator).IsValid() }

type boundedStmt struct {
	driver.Stmt
	conn *boundedConn
}

func (s *boundedStmt) Close() error {
	s.conn.boundBy(time.Now())
	return s.Stmt.Close()
}

func (s *boundedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.conn.bound(ctx)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *boundedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.conn.bound(ctx)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (s *boundedStmt) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return s.conn.CheckNamedValue(v)
}
