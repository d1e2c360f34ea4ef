package house_test

import (
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// A serving FILE store moves to SQLite, and the tool is killed on the way.
func TestMoveFromFiles(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), databases.SQLite(t)
	s, monitor := oldServer(t, "-store", "FILE", "-dir", dir)
	s.Launch()
	s.Ready()
	h := settle(t, s.URL())
	h.fill(shop, 5000)
	h.sleeper()
	h.subscribers(true)
	h.publishers(3, true)
	args := []string{"--from-nats", s.URL(), "--from-monitor", monitor, "--from-dir", dir, "--to-dsn", target, "--follow"}
	first := startCopy(t, args...)
	first.says(t, "Copied ")
	first.Signal(syscall.SIGKILL)
	<-first.Done()

	c := startCopy(t, args...)
	c.says(t, "Continuing an interrupted import.")
	c.says(t, "stop the old server now")
	h.count(300)
	s.Stop()
	c.ends(t, 0)
	replace(t, s, "sqlite", target)
	h.count(300)
	h.wakes()
	h.settled("sqlite", target)
	t.Logf("%s", c.log)
}
