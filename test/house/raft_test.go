package house_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
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
			"-cluster_log_path", log, "-cluster", routes[i], "-routes", strings.Join(routes, ","), "-cluster_trailing_logs", "50", "-cluster_log_snapshots", "1")
		r.nodes, r.monitors = append(r.nodes, s), append(r.monitors, monitor)
		r.dirs, r.logs = append(r.dirs, dir), append(r.logs, log)
		s.Launch()
	}
	return r
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
	for _, s := range r.nodes {
		s.Ready()
	}
	h := settle(t, r.url())
	h.fill(shop, 2000)
	h.sleeper()
	h.subscribers(true)
	h.publishers(3, true)
	args := []string{"--from-nats", r.url(), "--from-monitor", strings.Join(r.monitors, ","), "--to-dsn", target, "--follow"}
	for i := range r.nodes[:2] { // a majority
		args = append(args, "--from-dir", r.dirs[i], "--from-log", r.logs[i])
	}
	c := startCopy(t, args...)
	c.says(t, "stop the old server now")
	h.count(200)
	for _, s := range r.nodes {
		s.Kill()
	}
	c.ends(t, 0)
	replace(t, r.nodes[0], "sqlite", target)
	h.count(200)
	h.wakes()
	h.settled("sqlite", target)
	t.Logf("%s", c.log)
}
