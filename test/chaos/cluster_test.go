package chaos

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/network"
)

// cluster is a leader and a standby in one NATS cluster, and their database.
type cluster struct {
	t         *testing.T
	data      *database
	servers   []*harness.Server
	apis      []int            // ports
	proxies   []*network.Proxy // of each server; nil for SQLite
	start     time.Time
	epoch     atomic.Int64 // see aggregates
	crowds    []*crowd
	writer    *client // its publishes are not part of the history
	written   written
	positions *positionReader
	picky     *pickyReader

	mu       sync.Mutex // guards the fields below
	good     int        // publishes that were stored or refused
	bad      int        // publishes without an outcome
	last     time.Time  // when the last good one was answered
	silence  time.Duration
	failures map[string]int // of requests, by server and error
	changed  chan struct{}  // closed on every change
}

func startCluster(t *testing.T, data *database) *cluster {
	t.Helper()
	c := &cluster{t: t, data: data, start: time.Now(), last: time.Now(), failures: map[string]int{}, changed: make(chan struct{})}
	settings := writeSettings(t)
	var routes []string
	for range 2 {
		port, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(port))
	}
	for i := range routes {
		through := data.source
		if data.driver != "sqlite" {
			var p *network.Proxy
			p, through = network.Start(t, data.source)
			c.proxies = append(c.proxies, p)
		}
		port, err := databases.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		c.apis = append(c.apis, port)
		c.servers = append(c.servers, harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", data.driver, "-sql_source", through,
			"-store_timeout", "1s", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-ft_group", "chaos", "-cluster_name", "chaos", "-cluster", routes[i], "-routes", routes[1-i],
			"-c", settings, "-wildcards", "-hbi", "5s", "-hbt", "2s", "-hbf", "4"))
	}
	c.servers[0].Launch()
	c.servers[0].Ready()
	c.servers[1].Launch()
	c.servers[1].WaitLog(t, "standby mode")
	return c
}

// urls lists the servers for clients.
func (c *cluster) urls() string { return c.servers[0].URL() + "," + c.servers[1].URL() }

// clock returns the time for an operation.
func (c *cluster) clock() int64 { return int64(time.Since(c.start)) }

func (c *cluster) update(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// count records the outcome of a publish.
func (c *cluster) count(out result) {
	c.update(func() {
		if out.kind == unknown {
			if out.unavailable {
				c.bad++
			}
			return
		}
		c.good++
		c.silence = max(c.silence, time.Since(c.last))
		c.last = time.Now()
	})
}

// failed records a request without an answer.
func (c *cluster) failed(server int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures[fmt.Sprintf("server %d: %v", server, err)]++
}

// longestSilence returns the longest time without a good publish since the last call.
func (c *cluster) longestSilence() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	silence := c.silence
	c.silence, c.failures = 0, map[string]int{}
	return silence
}

// eventually repeats one of the first requests until it succeeds: the route between the servers may not exist yet, and on a slow
// machine a statement takes longer than the servers' short limits.
func eventually(t *testing.T, do func() error) {
	t.Helper()
	err := do()
	for deadline := time.Now().Add(harness.Patience); err != nil && time.Now().Before(deadline); {
		err = do()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// await waits for that many more good and bad publishes.
func (c *cluster) await(good, bad int) {
	c.t.Helper()
	if !c.reached(good, bad, harness.Patience) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.t.Fatalf("the clients make no progress: %d publishes stored or refused, %d without an outcome, failed requests: %v", c.good, c.bad, c.failures)
	}
}

// awaitOutage waits until a publisher sees an outage of the leader, or the standby has taken over.
func (c *cluster) awaitOutage(progress int) {
	c.t.Helper()
	for deadline := time.Now().Add(harness.Patience); !c.reached(0, 1, time.Second); {
		if c.reached(progress, 0, time.Second) {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatal("no publisher sees the outage, and none makes progress")
		}
	}
}

// reached is like await, but returns false after the patience.
func (c *cluster) reached(good, bad int, patience time.Duration) bool {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	c.mu.Lock()
	good, bad = good+c.good, bad+c.bad
	c.mu.Unlock()
	for {
		c.mu.Lock()
		reached, changed := c.good >= good && c.bad >= bad, c.changed
		c.mu.Unlock()
		if reached {
			return true
		}
		select {
		case <-changed:
		case <-deadline.C:
			return false
		}
	}
}

// leader returns the index of the server that holds the lease.
func (c *cluster) leader() int {
	c.t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for {
		var holder string
		ctx, cancel := context.WithTimeout(c.t.Context(), harness.Patience)
		err := c.data.db.QueryRowContext(ctx, "SELECT id FROM StoreLock").Scan(&holder)
		cancel()
		if err != nil {
			c.t.Fatal(err)
		}
		for i, s := range c.servers {
			if holder != "" && strings.Contains(s.Log.String(), "ServerID: "+holder) {
				return i
			}
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the lease is held by %q, which is not one of the servers", holder)
		}
		c.await(1, 0) // one of them takes over, and publishers continue
	}
}

// shared is a channel with two aggregates. The other channels have one each, so the last message belongs to that
// aggregate.
const shared = "eventstore.shared"

// aggregates returns those that clients publish to now. They change from time to time, which keeps the histories short
// however long the test runs.
func (c *cluster) aggregates() []aggregate { return aggregatesOf(c.epoch.Load()) }

func aggregatesOf(epoch int64) []aggregate {
	id := fmt.Sprintf("-%d", epoch)
	return []aggregate{{shared, "one" + id}, {shared, "two" + id}, {"eventstore.three" + id, "three" + id}, {"eventstore.four" + id, "four" + id}}
}
