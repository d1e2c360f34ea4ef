package clients

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/network"
)

// A client that does not read is closed by NATS as a slow consumer when it takes nothing within write_deadline, or max_pending waits for it. Others
// receive and publish on, and it is sent what it missed when it is back.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte("max_pending: 16MB\nwrite_deadline: \"2s\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	source := databases.SQLite(t)
	s := harness.Start(t, "sqlite", source, "-c", file, "-m", "-1", "-hbi", "1s", "-hbt", "5s", "-hbf", "2")
	p, through := network.Start(t, s.URL())
	slow := connect(t, through, "slow")
	healthy := connect(t, s.URL(), "healthy")
	_, first := subscribe(t, slow, "", true, stan.DurableName("d"), stan.MaxInflight(1<<16))
	_, all := subscribe(t, healthy, "", true, stan.MaxInflight(1<<16))
	publish(t, healthy, 10, []byte("x"))
	first.until(t, 10)
	p.Silence()
	const n = 1000 // more than the sockets hold
	for range n / 50 {
		publish(t, healthy, 50, bytes.Repeat([]byte("x"), 30_000))
	}
	all.until(t, 10+n)
	s.WaitLog(t, "Slow Consumer")
	s.WaitLog(t, "[Client:slow] Timed out on heartbeats")
	_, again := subscribe(t, connect(t, s.URL(), "slow"), "", true, stan.DurableName("d"), stan.MaxInflight(1000))
	seen := make(map[uint64]bool)
	deadline := time.After(harness.Patience)
	for len(seen) < n {
		select {
		case m := <-again:
			if m.Sequence > 10 {
				seen[m.Sequence] = true
			}
		case <-deadline:
			t.Fatalf("%d of %d messages after it came back", len(seen), n)
		}
	}
	s.Stop()
	harness.Verify(t, "sqlite", source)
}

// Who never acknowledges gets no more than MaxInflight messages, again and again; others on the channel and in its queue
// group get all, those that it holds included.
func TestNeverAcks(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := harness.Start(t, driver, source)
		silent, healthy := connect(t, s.URL(), "silent"), connect(t, s.URL(), "healthy")
		_, alone := subscribe(t, silent, "", false, stan.MaxInflight(10))
		_, member := subscribe(t, silent, "q", false, stan.MaxInflight(10))
		_, all := subscribe(t, healthy, "", true)
		_, others := subscribe(t, healthy, "q", true)
		const n = 500
		publish(t, healthy, n, []byte("x"))
		all.until(t, n)
		// Those of the silent member come after their AckWait, some of them to it again, and then to another.
		others.until(t, n)
		for name, in := range map[string]inbox{"subscriber": alone, "queue member": member} {
			held := map[uint64]bool{}
			for range len(in) {
				held[(<-in).Sequence] = true
			}
			if len(held) == 0 || name == "subscriber" && len(held) > 10 {
				t.Errorf("the %s that never acknowledges has %d messages", name, len(held))
			}
		}
		s.Stop()
		harness.Verify(t, driver, source)
	})
}
