package sqlconn

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/lib/pq"
)

// confirmed is a connection to PostgreSQL whose commits succeed only if the server gave no warning. An administrator
// can cancel a commit's wait for a synchronous standby. The server then reports a commit and warns that the standby may
// not have it: a failover would lose it.
//
// Here the warning is an error that makes the outcome unknown. The store reads the outcome behind the fence, in a
// transaction whose own commit waits for the standby, which then has both.
type confirmed struct {
	pqConn
	warning *pq.Error // the last one; owned by the user of the connection
}

// pqConn lists the methods of lib/pq's connections.
type pqConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

func confirm(bare driver.Conn) (*confirmed, error) {
	conn, ok := bare.(pqConn)
	if !ok {
		return nil, fmt.Errorf("%T lacks methods of a connection to PostgreSQL", bare)
	}
	c := &confirmed{pqConn: conn}
	pq.SetNoticeHandler(bare, func(notice *pq.Error) {
		if notice.Code.Class() != "00" { // only a notice
			c.warning = notice
		}
	})
	return c, nil
}

// BeginTx begins a transaction.
func (c *confirmed) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	tx, err := c.pqConn.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return &confirmedTx{tx, c}, nil
}

type confirmedTx struct {
	driver.Tx
	conn *confirmed
}

// Commit also fails if the server warns.
func (t *confirmedTx) Commit() error {
	t.conn.warning = nil
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	return t.conn.warned()
}

func (c *confirmed) warned() error {
	if c.warning == nil {
		return nil
	}
	return fmt.Errorf("the commit is not confirmed: %w", c.warning)
}

// PrepareContext prepares a statement. One that may write and commit itself is watched like COMMIT.
func (c *confirmed) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	stmt, err := c.pqConn.PrepareContext(ctx, text)
	if err != nil || !strings.HasPrefix(text, "WITH ") {
		return stmt, err
	}
	able, ok := stmt.(pqStmt)
	if !ok {
		_ = stmt.Close()
		return nil, fmt.Errorf("%T lacks methods of a prepared statement", stmt)
	}
	return &confirmedStmt{able, c}, nil
}

// pqStmt lists the methods of lib/pq's statements.
type pqStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type confirmedStmt struct {
	pqStmt
	conn *confirmed
}

// ExecContext also fails if the server warns.
func (s *confirmedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.conn.warning = nil
	result, err := s.pqStmt.ExecContext(ctx, args)
	if err == nil {
		err = s.conn.warned()
	}
	return result, err
}

// QueryContext returns rows that end with an error if the server warns.
func (s *confirmedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.conn.warning = nil
	rows, err := s.pqStmt.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	return &confirmedRows{rows, s.conn}, nil
}

type confirmedRows struct {
	driver.Rows
	conn *confirmed
}

// Next reaches the end after the commit.
func (r *confirmedRows) Next(to []driver.Value) error {
	err := r.Rows.Next(to)
	if errors.Is(err, io.EOF) {
		if warned := r.conn.warned(); warned != nil {
			return warned
		}
	}
	return err
}
