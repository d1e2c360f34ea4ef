package stores

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/lib/pq"
)

// confirmed is a connection to PostgreSQL whose COMMIT succeeds only if the server had nothing to warn about. Where
// commits wait for a synchronous standby, and the wait is cut short by statement_timeout or an administrator, the server
// says that the transaction is committed, and warns that the standby may not have it: a failover would lose it.
type confirmed struct {
	pqConn
	warning *pq.Error // the last one; used by whoever uses the connection
}

// pqConn is what lib/pq's connections can do.
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
		if notice.Code.Class() != "00" { // a mere notice
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

// Commit returns a warning of the server as an error, which makes the outcome unknown: it is reread behind the fence, in
// a transaction whose own COMMIT waits for the standby, which then has both.
func (t *confirmedTx) Commit() error {
	t.conn.warning = nil
	if err := t.Tx.Commit(); err != nil {
		return err
	}
	if t.conn.warning != nil {
		return fmt.Errorf("the commit is not confirmed: %w", t.conn.warning)
	}
	return nil
}
