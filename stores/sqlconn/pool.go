// Package sqlconn opens pools of connections to the three databases. A connection has the session that a store needs, and
// ends when its caller no longer waits, whatever the driver or the network does. A pool leads to a server that takes
// writes, of those that its source names.
//
// The package knows nothing of what is sent through its connections.
package sqlconn

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"time"
)

const (
	defaultConnectTimeout = 10 * time.Second
	// networkGrace is how much longer than StatementTimeout the client waits for an answer, that of COMMIT included.
	networkGrace = 5 * time.Second
	// idleInTransaction is after how long the server ends the transaction of a client that has vanished, and with it the
	// locks that keep others from taking over. Ours are never idle for longer than it takes to send the next statement.
	idleInTransaction = 3 * time.Second
)

// Options say how a pool connects. A pool needs all but Patient and WrapConnector.
type Options struct {
	Source           string        // as the driver takes it
	ConnMaxLifetime  time.Duration // age at which a connection is replaced
	StatementTimeout time.Duration // deadline of each statement
	Patient          bool          // deadlines that the source sets do not count
	// WrapConnector, if set, is given the connector of the pool, and returns the one to use.
	WrapConnector func(driver.Connector) driver.Connector
}

// open makes the pool of a connector, with a bound of its connections.
func (o Options) open(c driver.Connector, size int) *sql.DB {
	if o.WrapConnector != nil {
		c = o.WrapConnector(c)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	db.SetConnMaxLifetime(o.ConnMaxLifetime)
	return db
}

// Lost reports whether an error means, on every database, that a connection was lost, cannot be made, or was given up at a
// deadline.
func Lost(err error) bool {
	var network net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &network)
}
