package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// config writes a configuration file with a streaming block.
func config(t *testing.T, streaming string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte("streaming {\n"+streaming+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestLimits(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := config(t, `
			limits {
				max_channels: 6, max_subs: 2, max_msgs: 10
				channels {
					"bytes.>": { max_msgs: -1, max_bytes: 2000 }
					"age.*": { max_age: "1s" }
					"idle": { max_inactivity: "1s" }
				}
			}`)
		s := start(t, driver, source, "-c", file)
		sc := s.connect("client")

		fill(t, sc, "count", 25)
		_, in := subscribe(t, sc, "count", stan.DeliverAllAvailable())
		if got := in.sequences(t, 10); got[0] != 16 || got[9] != 25 {
			t.Errorf("with max_msgs 10, the channel has %v", got)
		}
		// The rows are removed after the acknowledgements.
		eventually(t, func() bool {
			return query(t, driver, source, "SELECT msgs, maxseq FROM Channels WHERE name = 'count'")[0] == "10|25"
		})
		s.WaitLog(t, `Reached limits for store "count"`)

		for range 30 {
			publish(t, sc, "bytes.a", make([]byte, 300))
		}
		_, in = subscribe(t, sc, "bytes.a", stan.DeliverAllAvailable())
		if got := in.sequences(t, 6); got[5] != 30 {
			t.Errorf("with max_bytes 2000, the channel has %v", got)
		}
		publish(t, sc, "bytes.a", make([]byte, 5000)) // the newest one stays, whatever its size
		if got := in.next(t).Sequence; got != 31 {
			t.Errorf("got %d, want 31", got)
		}

		// All messages expire, but the sequence continues.
		fill(t, sc, "age.a", 5)
		gone := func() bool {
			return query(t, driver, source, "SELECT COUNT(*) FROM Messages m JOIN Channels c ON c.id = m.id WHERE c.name = 'age.a'")[0] == "0"
		}
		eventually(t, gone)
		s.Kill()
		s.Restart()
		sc = s.connect("client-2")
		_, in = subscribe(t, sc, "age.a", stan.DeliverAllAvailable())
		in.marker(t, sc, "age.a", 6)

		// An unused channel is removed with its offline durable, and starts anew.
		sub, in := subscribe(t, sc, "idle", stan.DurableName("d"), stan.DeliverAllAvailable())
		in.marker(t, sc, "idle", 1)
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		s.WaitLog(t, `Channel "idle" has been deleted`)
		eventually(t, func() bool {
			return query(t, driver, source, "SELECT COUNT(*) FROM Channels WHERE name = 'idle'")[0] == "0"
		})
		_, in = subscribe(t, sc, "idle", stan.DurableName("d"), stan.DeliverAllAvailable())
		in.marker(t, sc, "idle", 1)

		// Six channels exist: count, bytes.a, age.a, idle and two more.
		publish(t, sc, "five", nil)
		publish(t, sc, "six", nil)
		if err := sc.Publish("seven", nil); err == nil || err.Error() != "too many channels" {
			t.Errorf("a channel too many: error %v", err)
		}
		subscribe(t, sc, "five", stan.DurableName("1"))
		second, _ := subscribe(t, sc, "five", stan.DurableName("2"))
		if err := second.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := sc.Subscribe("five", func(*stan.Msg) {}); err == nil || err.Error() != "too many subscriptions per channel" {
			t.Errorf("a subscription too many: error %v", err)
		}
		subscribe(t, sc, "five", stan.DurableName("2"))

	})
}

func TestLimitsDoNotTouchEvents(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", config(t, `limits { max_msgs: 3, max_age: "1s", max_inactivity: "1s" }`))
		sc := s.connect("client")
		for range 20 {
			publish(t, sc, orders, event(t, "A", "T"))
		}
		fill(t, sc, "other", 1)
		s.WaitLog(t, `Channel "other" has been deleted`)
		contiguous(t, driver, source, orders, 20)
	})
	out, status := runBinary(t, "-p", "-1", "-c", config(t, `limits { channels { "eventstore.orders": { max_msgs: 3 } } }`))
	if status != 1 || !strings.Contains(out, `limits of channel "eventstore.orders" would remove events`) {
		t.Errorf("status %d, output %s", status, out)
	}
}

// New limits apply to existing messages.
func TestLimitsOnRecovery(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		fill(t, sc, "c", 50)
		_, in := subscribe(t, sc, "c", stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.DurableName("d"), stan.MaxInflight(20))
		in.sequences(t, 20)
		s.Stop()
		s.Args = append(s.Args, "-c", config(t, "limits { max_msgs: 5 }"))
		s.Restart()
		sc = s.connect("client-2")
		eventually(t, func() bool {
			return query(t, driver, source, "SELECT COUNT(*) FROM Messages")[0] == "5"
		})
		_, in = subscribe(t, sc, "c", stan.DeliverAllAvailable())
		if got, want := in.sequences(t, 5), []uint64{46, 47, 48, 49, 50}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// eventually polls until done returns true.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("the condition did not hold within %v", patience)
		}
		<-time.After(20 * time.Millisecond)
	}
}
