package history

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// shared is a channel with two aggregates; the others have one each, so that its last message is the aggregate's.
const shared = "eventstore.shared"

var aggregates = []aggregate{{shared, "one"}, {shared, "two"}, {"eventstore.three", "three"}, {"eventstore.four", "four"}}

// cluster is two servers, one of them standby, and their database.
type cluster struct {
	t       *testing.T
	driver  string
	servers []*harness.Server
	proxies []*proxy // of each server; nil for SQLite
	db      *sql.DB  // straight to the database
	start   time.Time

	mu      sync.Mutex // guards what follows
	active  int        // the server that acknowledged last
	good    int        // operations with an outcome
	bad     int        // those without
	suspect []bool     // servers that were paused and may not have noticed
	changed chan struct{}
}

func startCluster(t *testing.T, driver, source string) *cluster {
	t.Helper()
	c := &cluster{t: t, driver: driver, start: time.Now(), suspect: make([]bool, 2), changed: make(chan struct{})}
	for range 2 {
		through := source
		if driver != "sqlite" {
			var p *proxy
			p, through = startProxy(t, source)
			c.proxies = append(c.proxies, p)
		}
		c.servers = append(c.servers, harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", driver, "-sql_source", through, "-store_timeout", "1s"))
	}
	c.open(source)
	c.servers[0].Launch()
	c.servers[0].Ready()
	c.servers[1].Launch()
	c.servers[1].WaitLog(t, "standby mode")
	return c
}

// open opens the database for those who read it beside the servers.
func (c *cluster) open(source string) {
	c.t.Helper()
	if c.driver == "sqlite" {
		source += "?_pragma=busy_timeout(10000)"
	}
	var err error
	if c.db, err = sql.Open(c.driver, source); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = c.db.Close() })
}

// clock returns the time of an operation.
func (c *cluster) clock() int64 { return int64(time.Since(c.start)) }

func (c *cluster) update(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) count(good bool) {
	c.update(func() {
		if good {
			c.good++
		} else {
			c.bad++
		}
	})
}

func (c *cluster) acked(server int) { c.update(func() { c.active = server }) }

func (c *cluster) suspected(server int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.suspect[server]
}

// await waits until the clients have seen so many more outcomes, and failures.
func (c *cluster) await(good, bad int) {
	c.t.Helper()
	deadline := time.After(harness.Patience)
	c.mu.Lock()
	good, bad = good+c.good, bad+c.bad
	c.mu.Unlock()
	for {
		c.mu.Lock()
		reached, changed := c.good >= good && c.bad >= bad, c.changed
		c.mu.Unlock()
		if reached {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatal("the clients make no progress")
		}
	}
}

// awaitOther waits until a server other than one has acknowledged, and then for more outcomes.
func (c *cluster) awaitOther(server, good int) {
	c.t.Helper()
	deadline := time.After(harness.Patience)
	for {
		c.mu.Lock()
		active, changed := c.active, c.changed
		c.mu.Unlock()
		if active != server {
			c.await(good, 0)
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatal("no other server acknowledges")
		}
	}
}

// readAll reads the events of an aggregate with SQL.
func (c *cluster) readAll(ctx context.Context, key aggregate) (result, error) {
	rows, err := c.db.QueryContext(context.WithoutCancel(ctx), fmt.Sprintf("SELECT event_version, event_id FROM events WHERE channel = '%s' AND aggregate_id = '%s' ORDER BY event_version", key.channel, key.id))
	if err != nil {
		return result{}, err
	}
	defer rows.Close()
	out := result{kind: all}
	for rows.Next() {
		var version int
		var id string
		if err := rows.Scan(&version, &id); err != nil {
			return result{}, err
		}
		if out.ids = append(out.ids, id); version != len(out.ids) {
			return result{}, fmt.Errorf("event %d of %v has version %d", len(out.ids), key, version)
		}
	}
	return out, rows.Err()
}

// The faults. Each returns when the clients make progress again.

// kill ends the active server as a crash does; the other one takes over.
func (c *cluster) kill(server, progress int) {
	c.servers[server].Kill()
	c.awaitOther(server, progress)
	c.servers[server].Launch()
	c.servers[server].WaitLog(c.t, "standby mode")
}

// restart kills both: the one that is started again has to wait for the lease of its dead self.
func (c *cluster) restart(server, progress int) {
	c.servers[1-server].Kill()
	c.servers[server].Kill()
	c.servers[server].Launch()
	c.servers[server].Ready()
	c.await(progress, 0)
	c.servers[1-server].Launch()
	c.servers[1-server].WaitLog(c.t, "standby mode")
}

// pause stops the active server for so long that the other one takes over, and lets it go on: it has publishes to do that were
// sent before, and takes itself for active.
func (c *cluster) pause(server, progress int) {
	c.update(func() { c.suspect[server] = true })
	c.servers[server].Process.Signal(syscall.SIGSTOP)
	c.awaitOther(server, progress)
	c.servers[server].Process.Signal(syscall.SIGCONT)
	c.servers[server].WaitLog(c.t, "stepping down")
	c.update(func() { c.suspect[server] = false })
	c.await(progress, 0)
}

// cut ends the connections of the active server to its database.
func (c *cluster) cut(server, progress int) {
	c.proxies[server].cut()
	c.await(progress, 0)
}

// stall has the database work and not answer, until the connections end.
func (c *cluster) stall(server, progress int) {
	c.proxies[server].stall()
	c.await(0, 3)
	c.proxies[server].cut()
	c.await(progress, 0)
}

// commits loses COMMITs of the active server, which can not know what became of them: some arrived, some did not.
func (c *cluster) commits(server, progress int) {
	for i := range 6 {
		select {
		case <-c.proxies[server].loseCommit(i%2 == 0):
		case <-time.After(harness.Patience):
			c.t.Fatal("the server sends no COMMIT")
		}
		c.await(progress/6+1, 0)
	}
}

// lock is what SQLite has in place of a network: somebody else holds the lock of the file.
func (c *cluster) lock(_, progress int) {
	conn, err := c.db.Conn(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(c.t.Context(), "BEGIN IMMEDIATE"); err != nil {
		c.t.Fatal(err)
	}
	c.await(0, 3)
	if _, err := conn.ExecContext(c.t.Context(), "ROLLBACK"); err != nil {
		c.t.Fatal(err)
	}
	c.await(progress, 0)
}
