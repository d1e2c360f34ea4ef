package chaos

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// cut ends the connections of the leader to its database.
func (c *cluster) cut(leader, progress int) {
	c.proxies[leader].cut()
	c.await(progress, 0)
}

// stall has the database work and not answer, until the connections end: what was committed in between is not known to
// the server.
func (c *cluster) stall(leader, progress int) {
	c.proxies[leader].stall()
	c.awaitOutage(progress)
	c.proxies[leader].cut()
	c.await(progress, 0)
}

// isBatch finds what a publish carries in what a server sends to its database, however it sends it.
func isBatch(sent []byte) bool { return bytes.Contains(sent, []byte(eventType)) }

func isCommit(sent []byte) bool { return bytes.Contains(sent, []byte("COMMIT")) }

func (c *cluster) cutInBatch(leader, progress int)      { c.cutAt(leader, progress, isBatch, half) }
func (c *cluster) cutAfterBatch(leader, progress int)   { c.cutAt(leader, progress, isBatch, whole) }
func (c *cluster) cutBeforeCommit(leader, progress int) { c.cutAt(leader, progress, isCommit, nothing) }
func (c *cluster) cutAfterCommit(leader, progress int)  { c.cutAt(leader, progress, isCommit, whole) }

// cutAt ends the leader's next connection that sends something. Where batches commit by themselves, a COMMIT is that of
// the state of subscriptions.
func (c *cluster) cutAt(leader, progress int, what func([]byte) bool, arrives part) {
	select {
	case <-c.proxies[leader].cutAt(what, arrives):
	case <-time.After(harness.Patience):
		c.t.Fatal("the server sends nothing of the kind")
	}
	c.await(progress, 0)
}

// TestStopAfterReset: a server whose connections to the database were reset just before it is stopped has ended well.
func TestStopAfterReset(t *testing.T) {
	t.Parallel()
	for driver, fresh := range map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p, through := startProxy(t, fresh(t))
			for range 3 {
				s := harness.Start(t, driver, through)
				p.cut()
				s.Stop()
				if code := s.Process.ExitCode(); code != 0 {
					t.Errorf("status %d", code)
				}
			}
		})
	}
}
