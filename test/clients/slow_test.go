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

// NATS closes a client that does not read as a slow consumer, after write_deadline or when max_pending bytes wait for
// it. Other clients receive and publish meanwhile. Once the client is back, it receives what it missed.
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
	const n = 1000 // more than the sockets buffer
	for range n / 50 {
		publish(t, healthy, 50, bytes.Repeat([]byte("x"), 30_000))
	}
	all.until(t, 10+n)
	s.WaitLog(t, "Slow Consumer")
	s.WaitLog(t, "[Client:slow] Timed out on heartbeats")
	_, in := subscribe(t, connect(t, s.URL(), "slow"), "", true, stan.DurableName("d"), stan.MaxInflight(1000))
	seen := make(map[uint64]bool)
	deadline := time.After(harness.Patience)
	for len(seen) < n {
		select {
		case m := <-in:
			if m.Sequence > 10 {
				seen[m.Sequence] = true
			}
		case <-deadline:
			t.Fatalf("%d of %d messages after it reconnected", len(seen), n)
		}
	}
	s.Stop()
	harness.Verify(t, "sqlite", source)
}

// A subscriber that never acknowledges receives no more than MaxInflight messages, over and over. Other subscribers of
// the channel and members of its queue group receive everything, including the messages that it holds.
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
		// The silent member's messages are redelivered after AckWait, some to it in and then to another member.
		others.until(t, n)
		for name, in := range map[string]inbox{"subscriber": alone, "queue member": member} {
			held := map[uint64]bool{}
			for range len(in) {
				held[(<-in).Sequence] = true
			}
			if len(held) == 0 || name == "subscriber" && len(held) > 10 {
				t.Errorf("the %s that never acknowledges received %d messages", name, len(held))
			}
		}
		s.Stop()
		harness.Verify(t, driver, source)
	})
}
