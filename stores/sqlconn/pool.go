// Package sqlconn opens connection pools to the three databases. A connection has the session settings that a store
// needs, and ends when its caller's deadline has passed, whatever the driver or the network does. If a source names
// several servers, the pool leads to one that accepts writes.
//
// The package does not know what is sent through its connections.
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
	// networkGrace is how much longer than StatementTimeout the client waits for an answer, including COMMIT's.
	networkGrace = 5 * time.Second
	// idleInTransaction is how long the server keeps the transaction of a vanished client, whose locks keep others from
	// taking over. A live client is idle only until it sends the next statement.
	idleInTransaction = 3 * time.Second
)

// Options say how a pool connects. All fields except Patient and WrapConnector are required.
type Options struct {
	Source           string        // in the driver's syntax
	ConnMaxLifetime  time.Duration // age at which a connection is replaced
	StatementTimeout time.Duration // deadline of each statement
	Patient          bool          // ignore the deadlines in Source
	MaxRead          int64         // bytes after which a connection to PostgreSQL, MySQL or MariaDB breaks; 0 means no limit
	// WrapConnector, if set, receives the pool's connector and returns the one to use.
	WrapConnector func(driver.Connector) driver.Connector
}

// open returns a pool of up to size connections.
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

// Lost reports whether err means, on any database, that a connection was lost, cannot be made, or was given up at a
// deadline.
func Lost(err error) bool {
	var network net.Error
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, sql.ErrTxDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &network)
}
