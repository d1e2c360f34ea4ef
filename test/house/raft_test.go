package house_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// raft is a Raft cluster of NATS Streaming.
type raft struct {
	nodes    []*harness.Server
	monitors []string
	dirs     []string // of the FILE stores
	logs     []string
}

func startRaft(t *testing.T, nodes int) *raft {
	t.Helper()
	r := &raft{}
	var routes, names []string
	for i := range nodes {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", freePort(t)))
		names = append(names, fmt.Sprintf("node-%d", i+1))
	}
	for i, name := range names {
		var peers []string
		for _, other := range names {
			if other != name {
				peers = append(peers, other)
			}
		}
		dir, log := filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "log")
		s, monitor := oldServer(t, "-store", "FILE", "-dir", dir, "-clustered", "-cluster_node_id", name, "-cluster_peers", strings.Join(peers, ","),
			"-cluster_log_path", log, "-cluster_name", "moving", "-cluster", routes[i], "-routes", strings.Join(routes, ","), "-cluster_trailing_logs", "50", "-cluster_log_snapshots", "1")
		r.nodes, r.monitors = append(r.nodes, s), append(r.monitors, monitor)
		r.dirs, r.logs = append(r.dirs, dir), append(r.logs, log)
		s.Launch()
	}
	return r
}

// awaitLeader waits until a node leads.
func (r *raft) awaitLeader(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		for _, s := range r.nodes {
			if s.Log.Contains("finished leader promotion actions") {
				return
			}
		}
	}
	t.Fatal("no node leads")
}

func (r *raft) url() string {
	var all []string
	for _, s := range r.nodes {
		all = append(all, s.URL())
	}
	return strings.Join(all, ",")
}

// A serving Raft cluster moves: what it knows is in the logs of its nodes, too.
func TestMoveFromRaft(t *testing.T) {
	t.Parallel()
	target := databases.SQLite(t)
	r := startRaft(t, 3)
	r.awaitLeader(t)
	h := settle(t, r.url())
	h.fill(shop, 2000)
	h.sleeper()
	h.subscribers(true)
	h.publishers(3, true)
	c := startCopy(t, page.Find(t, page.Own(t, "docs/operate/moving-house.md"), "sh", "raft").Text(),
		"OLD="+r.url(), "MONITOR="+strings.Join(r.monitors, ","), "TARGET="+target, "DIR_1="+r.dirs[0], "LOG_1="+r.logs[0], "DIR_2="+r.dirs[1], "LOG_2="+r.logs[1])
	c.says(t, "stop the old server now")
	h.count(200)
	for _, s := range r.nodes {
		s.Kill()
	}
	c.ends(t, 0)
	defer func() { // one node of three can lack what the other two agreed on
		one := startCopy(t, `eventstore copy --from-dir "$DIR" --from-log "$LOG" --to-dsn "$TARGET"`, "DIR="+r.dirs[0], "LOG="+r.logs[0], "TARGET="+databases.SQLite(t))
		one.says(t, "may lack what its cluster of 3 nodes confirmed")
		one.ends(t, 1)
		none := startCopy(t, `eventstore copy --from-dir "$DIR" --to-dsn "$TARGET"`, "DIR="+r.dirs[0], "TARGET="+databases.SQLite(t))
		none.says(t, "name the directory of its Raft log")
		none.ends(t, 1)
	}()
	replace(t, r.nodes[0], "sqlite", target)
	h.count(200)
	h.wakes()
	h.settled("sqlite", target)
	t.Logf("%s", c.log)
}
