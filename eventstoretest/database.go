package eventstoretest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync/atomic"
	"testing"

	sqlitedriver "modernc.org/sqlite"
)

// database is the server's database. It has a name in this process (SQLite's memdb), and no file: it outlives a run of the server, and ends
// with the connection that database keeps. Nothing is synced.
type database struct {
	t    testing.TB
	name string
	open int     // databases so far: each restore begins another one
	asks *sql.DB // also keeps the database
}

func newDatabase(t testing.TB, name string) *database {
	t.Helper()
	d := &database{t: t, name: name}
	d.begin()
	return d
}

// begin opens a new, empty database.
func (d *database) begin() {
	d.t.Helper()
	d.open++
	d.asks = memory(d.t, d.uri())
}

func (d *database) uri() string { return fmt.Sprintf("file:/%s-%d?vfs=memdb", d.name, d.open) }

// connector replaces the server's, which would open a database without a name.
func (d *database) connector(driver.Connector) driver.Connector {
	c, err := sqlitedriver.NewConnector(d.uri() + "&_txlock=immediate&_pragma=temp_store(MEMORY)")
	if err != nil {
		return broken{err}
	}
	return c
}

func (d *database) close() { _ = d.asks.Close() }

// memory opens a database in memory, which exists at least as long as the pool.
func memory(t testing.TB, uri string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", uri+"&_pragma=temp_store(MEMORY)&_pragma=busy_timeout(10000)")
	if err == nil {
		db.SetMaxOpenConns(1)
		db.SetConnMaxLifetime(0)
		db.SetConnMaxIdleTime(0)
		err = db.PingContext(context.Background())
	}
	if err != nil {
		t.Fatalf("eventstoretest: open a database in memory: %v", err)
	}
	return db
}

// broken is a connector that cannot connect.
type broken struct{ error }

func (b broken) Connect(context.Context) (driver.Conn, error) { return nil, b.error }
func (b broken) Driver() driver.Driver                        { return &sqlitedriver.Driver{} }

// snapshots counts the snapshots of the process, and databases those of Database.
var snapshots, databases atomic.Uint64

// Snapshot is a copy of all that a server had stored, as a backup has it.
type Snapshot struct {
	uri string
	db  *sql.DB // keeps it
}

// Snapshot copies what the server has stored. The copy ends with the test.
func (s *Server) Snapshot() *Snapshot {
	s.t.Helper()
	c := &Snapshot{uri: fmt.Sprintf("file:/eventstoretest-snapshot-%d?vfs=memdb", snapshots.Add(1))}
	c.db = memory(s.t, c.uri)
	s.t.Cleanup(func() { _ = c.db.Close() })
	if _, err := s.db.asks.ExecContext(context.Background(), "VACUUM INTO ?", c.uri); err != nil {
		s.t.Fatalf("eventstoretest: copy the database: %v", err)
	}
	return c
}

// Restore stops the server, puts a snapshot in the place of its database, and starts it again on the same ports. What was stored since the snapshot is
// lost, as after the restore of a backup: checkpoints that are beyond its end must notice.
func (s *Server) Restore(from *Snapshot) {
	s.t.Helper()
	s.Stop()
	s.db.close()
	s.db.begin()
	if _, err := from.db.ExecContext(context.Background(), "VACUUM INTO ?", s.db.uri()); err != nil {
		s.t.Fatalf("eventstoretest: restore the database: %v", err)
	}
	s.start()
}

// Database returns an empty SQLite database in memory, for read models, checkpoints and snapshots. It has one connection, and ends with
// the test.
func Database(t testing.TB) *sql.DB {
	t.Helper()
	db := memory(t, fmt.Sprintf("file:/eventstoretest-database-%d?vfs=memdb", databases.Add(1)))
	t.Cleanup(func() { _ = db.Close() })
	return db
}
