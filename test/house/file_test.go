package house_test

import (
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// A serving FILE store moves to SQLite, and the tool is killed on the way.
func TestMoveFromFiles(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/moving-house.md")
	line := page.Find(t, blocks, "sh", "file").Text()
	dir, target := t.TempDir(), databases.SQLite(t)
	s, monitor := oldServer(t, "-store", "FILE", "-dir", dir)
	s.Launch()
	s.Ready()
	h := settle(t, s.URL())
	h.fill(shop, 5000)
	h.sleeper()
	h.subscribers(true)
	h.publishers(3, true)
	env := []string{"OLD=" + s.URL(), "MONITOR=" + monitor, "DIR=" + dir, "TARGET=" + target}
	first := startCopy(t, line, env...)
	first.says(t, "Copied ")
	first.Signal(syscall.SIGKILL)
	<-first.Done()

	c := startCopy(t, line, env...)
	c.says(t, "Continuing an interrupted import.")
	c.says(t, "stop the old server now")
	h.count(300)
	s.Stop()
	c.says(t, "The old server has stopped.")
	c.Signal(syscall.SIGKILL)
	<-c.Done()
	if !c.log.Contains("Complete.") {
		last := startCopy(t, line, env...)
		last.says(t, "The old server has stopped.")
		last.ends(t, 0)
	}
	replace(t, s, "sqlite", target)
	h.count(300)
	h.wakes()
	h.settled("sqlite", target)
	startCopy(t, page.Find(t, blocks, "sh", "check").Text(), env...).ends(t, 0)
	t.Logf("%s", c.log)
}
