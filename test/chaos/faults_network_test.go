package chaos

import (
	"bytes"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/network"
)

// cut resets the leader's connections to its database.
func (c *cluster) cut(leader, progress int) {
	c.proxies[leader].Cut()
	c.await(progress, 0)
}

// stall lets the database work but drops its answers until the connections end. The server does not learn what was
// committed meanwhile.
func (c *cluster) stall(leader, progress int) {
	c.proxies[leader].Stall()
	c.awaitOutage(progress)
	c.proxies[leader].Cut()
	c.await(progress, 0)
}

// isBatch matches the rows of a publish in any protocol.
func isBatch(_ *network.Connection, sent []byte) bool {
	return bytes.Contains(sent, []byte(eventType))
}

func isCommit(_ *network.Connection, sent []byte) bool {
	return bytes.Contains(sent, []byte("COMMIT"))
}

// commitOf matches the COMMIT of a transaction that contains the text.
func commitOf(text string) network.Condition {
	found := map[*network.Connection]bool{}
	return func(c *network.Connection, sent []byte) bool {
		found[c] = found[c] || bytes.Contains(sent, []byte(text))
		return found[c] && isCommit(c, sent)
	}
}

// cutAsWritten cuts the connection just before the leader commits what write does. It repeats write until that happens.
func (c *cluster) cutAsWritten(leader, progress int, text string, write func() error) {
	c.t.Helper()
	c.writeUntil(c.proxies[leader].CutAt(commitOf(text), network.Nothing), write, func() {})
	c.await(progress, 0)
}

// loseAsWritten lets that COMMIT arrive but drops its answer: the network is lost for longer than the leader waits.
func (c *cluster) loseAsWritten(leader, progress int, text string, write func() error) {
	c.t.Helper()
	c.writeUntil(c.proxies[leader].LoseAt(commitOf(text), network.All), write, func() {
		c.awaitOutage(progress)
		c.proxies[leader].Cut()
	})
	c.await(progress, 0)
}

// writeUntil repeats write until it is interrupted, then calls then.
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
		c.t.Error("the server sent no such COMMIT")
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

// cutAt cuts the next connection of the leader that sends what when matches. Where batches commit without a COMMIT of
// their own, isCommit matches that of subscription state.
func (c *cluster) cutAt(leader, progress int, when network.Condition, arrives network.Part) {
	select {
	case <-c.proxies[leader].CutAt(when, arrives):
	case <-time.After(harness.Patience):
		c.t.Fatal("the server sent no such statement")
	}
	c.await(progress, 0)
}

// loseAfterCommit hides the answer to COMMIT from the leader for longer than it waits.
func (c *cluster) loseAfterCommit(leader, progress int) {
	select {
	case <-c.proxies[leader].LoseAt(isCommit, network.All):
	case <-time.After(harness.Patience):
		c.t.Fatal("the server sent no COMMIT")
	}
	c.awaitOutage(progress)
	c.proxies[leader].Cut()
	c.await(progress, 0)
}

// TestStopAfterReset: a server whose database connections are reset just before it is stopped exits cleanly.
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
					t.Errorf("exit status %d, want 0", code)
				}
			}
		})
	}
}
