package chaos

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func (c *cluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// An outage lasts until a publisher has seen it.

func (c *cluster) restartDatabase(_, progress int) {
	c.must(c.data.server.Shutdown())
	c.must(c.data.server.Restart())
	c.await(progress, 0)
}

func (c *cluster) killDatabase(_, progress int) {
	c.must(c.data.server.Kill())
	c.await(0, 1)
	c.must(c.data.server.Restart())
	c.await(progress, 0)
}

// pauseDatabase stops the database: connections open, but nothing answers. Then it resumes.
func (c *cluster) pauseDatabase(_, progress int) {
	c.must(c.data.server.Pause())
	c.await(0, 1)
	c.must(c.data.server.Resume())
	c.await(progress, 0)
}

func (c *cluster) endSessions(_, progress int) {
	c.data.endSessions()
	c.await(progress, 0)
}

// readOnly looks like a failover to a replica that is promoted later.
func (c *cluster) readOnly(_, progress int) {
	if c.data.driver == "postgres" {
		signal := filepath.Join(c.data.column("SHOW data_directory")[0], "standby.signal")
		c.must(c.data.server.Shutdown())
		c.must(os.WriteFile(signal, nil, 0o600))
		c.must(c.data.server.Restart())
		c.await(0, 1)
		c.data.exec("SELECT pg_promote()")
		c.await(progress, 0)
		return
	}
	c.data.exec("SET GLOBAL read_only = ON")
	c.await(0, 1)
	c.data.exec("SET GLOBAL read_only = OFF")
	c.await(progress, 0)
}

// tooManyConnections leaves no connection for the servers. On PostgreSQL the role's limit does it, with SQLSTATE 53300
// like the server's own limit. On MariaDB, other clients take the connections.
func (c *cluster) tooManyConnections(_, progress int) {
	if c.data.driver == "postgres" {
		c.data.exec("ALTER ROLE app CONNECTION LIMIT 0")
		c.data.endSessions()
		c.await(0, 1)
		c.data.exec("ALTER ROLE app CONNECTION LIMIT -1")
		c.await(progress, 0)
		return
	}
	const limit = 10 // the lowest possible value
	c.data.exec(fmt.Sprintf("SET GLOBAL max_connections = %d", limit))
	others := c.data.open(strings.Replace(c.data.source, "app:app", "other:other", 1))
	var held []*sql.Conn
	for end := time.Now().Add(adminPatience); time.Now().Before(end); {
		c.data.endSessions()
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		conn, err := others.Conn(ctx)
		cancel()
		if err != nil {
			if c.reached(0, 1, time.Second) {
				break
			}
			continue
		}
		held = append(held, conn)
	}
	for _, conn := range held {
		_ = conn.Close()
	}
	c.must(others.Close())
	c.data.exec("SET GLOBAL max_connections = 200")
	c.await(progress, 0)
}

// deadlock has a session lock rows in the opposite order to the servers. The database picks the victim.
func (c *cluster) deadlock(_, progress int) {
	r := c.data.rival("UPDATE Channels SET name = name")
	r.awaitWaiting(adminPatience)
	if err := r.try("UPDATE StoreLock SET tick = tick"); err != nil {
		c.t.Logf("  the other session: %v", err)
	}
	r.end("ROLLBACK")
	c.await(progress, 0)
}

// serialization runs servers at an isolation level that refuses to change a row that another session has changed.
func (c *cluster) serialization(_, progress int) {
	on, off := "SET GLOBAL innodb_snapshot_isolation = ON", "SET GLOBAL innodb_snapshot_isolation = OFF"
	if c.data.driver == "postgres" {
		on, off = "ALTER ROLE app SET default_transaction_isolation = 'serializable'", "ALTER ROLE app RESET default_transaction_isolation"
	}
	c.data.exec(on)
	c.data.endSessions()
	c.await(5, 0)
	for range 5 {
		r := c.data.rival("UPDATE StoreLock SET tick = tick + 1", "UPDATE Channels SET name = name")
		r.awaitWaiting(adminPatience)
		r.end("COMMIT")
		c.await(1, 0)
	}
	c.data.exec(off)
	c.data.endSessions()
	c.await(progress, 0)
}

func (c *cluster) lockLease(_, progress int) {
	c.lockRows("UPDATE StoreLock SET tick = tick", progress)
}

func (c *cluster) lockChannels(_, progress int) {
	c.lockRows("UPDATE Channels SET name = name", progress)
}

// lockRows holds locks for longer than statements may take.
func (c *cluster) lockRows(text string, progress int) {
	r := c.data.rival(text)
	c.await(0, 1)
	r.end("ROLLBACK")
	c.await(progress, 0)
}
