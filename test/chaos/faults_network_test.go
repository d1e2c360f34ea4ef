package chaos

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/network"
)

// cut ends the connections of the leader to its database.
func (c *cluster) cut(leader, progress int) {
	c.proxies[leader].Cut()
	c.await(progress, 0)
}

// stall has the database work and not answer, until the connections end: what was committed in between is not known to
// the server.
func (c *cluster) stall(leader, progress int) {
	c.proxies[leader].Stall()
	c.awaitOutage(progress)
	c.proxies[leader].Cut()
	c.await(progress, 0)
}

// isBatch finds what a publish carries in what a server sends to its database, however it sends it.
func isBatch(_ *network.Connection, sent []byte) bool {
	return bytes.Contains(sent, []byte(eventType))
}

func isCommit(_ *network.Connection, sent []byte) bool {
	return bytes.Contains(sent, []byte("COMMIT"))
}

// commitOf is the COMMIT of a transaction in which a text was sent.
func commitOf(text string) network.Condition {
	found := map[*network.Connection]bool{}
	return func(c *network.Connection, sent []byte) bool {
		found[c] = found[c] || bytes.Contains(sent, []byte(text))
		return found[c] && isCommit(c, sent)
	}
}

// cutAsWritten ends the connection on which the leader commits what write does, which is tried until that has happened.
func (c *cluster) cutAsWritten(leader, progress int, text string, write func() error) {
	c.t.Helper()
	c.writeUntil(c.proxies[leader].CutAt(commitOf(text), network.Nothing), write, func() {})
	c.await(progress, 0)
}

// loseAsWritten has that COMMIT arrive, and the leader not get to know it: its network is lost for longer than it waits.
func (c *cluster) loseAsWritten(leader, progress int, text string, write func() error) {
	c.t.Helper()
	c.writeUntil(c.proxies[leader].LoseAt(commitOf(text), network.All), write, func() {
		c.awaitOutage(progress)
		c.proxies[leader].Cut()
	})
	c.await(progress, 0)
}

// writeUntil does then what follows on an interruption of write.
func (c *cluster) writeUntil(sprung <-chan struct{}, write func() error, then func()) {
	c.t.Helper()
	enough, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			err := write()
			select {
			case <-enough:
				ended <- err
				return
			default:
			}
		}
	}()
	select {
	case <-sprung:
		then()
	case <-time.After(harness.Patience):
		c.t.Error("the server commits nothing of the kind")
	}
	close(enough)
	c.must(<-ended)
}

func (c *cluster) cutInBatch(leader, progress int) { c.cutAt(leader, progress, isBatch, network.Half) }
func (c *cluster) cutAfterBatch(leader, progress int) {
	c.cutAt(leader, progress, isBatch, network.All)
}
func (c *cluster) cutBeforeCommit(leader, progress int) {
	c.cutAt(leader, progress, isCommit, network.Nothing)
}
func (c *cluster) cutAfterCommit(leader, progress int) {
	c.cutAt(leader, progress, isCommit, network.All)
}

// cutAt ends the leader's next connection that sends something. Where batches commit by themselves, a COMMIT is that of
// the state of subscriptions.
func (c *cluster) cutAt(leader, progress int, when network.Condition, arrives network.Part) {
	select {
	case <-c.proxies[leader].CutAt(when, arrives):
	case <-time.After(harness.Patience):
		c.t.Fatal("the server sends nothing of the kind")
	}
	c.await(progress, 0)
}

// loseAfterCommit has the leader not get to know of any COMMIT, for longer than it waits.
func (c *cluster) loseAfterCommit(leader, progress int) {
	select {
	case <-c.proxies[leader].LoseAt(isCommit, network.All):
	case <-time.After(harness.Patience):
		c.t.Fatal("the server commits nothing")
	}
	c.awaitOutage(progress)
	c.proxies[leader].Cut()
	c.await(progress, 0)
}

// TestStopAfterReset: a server whose connections to the database were reset just before it is stopped has ended well.
func TestStopAfterReset(t *testing.T) {
	t.Parallel()
	for driver, fresh := range map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			p, through := network.Start(t, fresh(t))
			for range 3 {
				s := harness.Start(t, driver, through)
				p.Cut()
				s.Stop()
				if code := s.Process.ExitCode(); code != 0 {
					t.Errorf("status %d", code)
				}
			}
		})
	}
}
