package house_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const follows = `eventstore copy --from-nats "$OLD" --from-monitor "$MONITOR" --from-dir "$DIR" --to-dsn "$TARGET" --follow`

// publish publishes messages from..to, whose texts are the numbers.
func publish(t *testing.T, sc stan.Conn, channel string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := sc.Publish(channel, fmt.Appendf(nil, "%d", n)); err != nil {
			t.Fatal(err)
		}
	}
}

// Limits that discard messages while the tool reads, channels without room for its subscription, and many channels.
func TestMoveWithLimits(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), databases.SQLite(t)
	limits := filepath.Join(t.TempDir(), "limits.conf")
	if err := os.WriteFile(limits, []byte(`limits { channels {
		small: { max_msgs: 20 }
		expired: { max_age: "100ms" }
		full: { max_subs: 1 }
	} }`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, monitor := oldServer(t, "-store", "FILE", "-dir", dir, "-sc", limits)
	s.Launch()
	s.Ready()
	h := settle(t, s.URL())
	sc := h.connect("publisher", false)
	if _, err := sc.Subscribe("full", func(*stan.Msg) {}); err != nil {
		t.Fatal(err)
	}
	const channels = 60
	for n := range channels {
		publish(t, sc, fmt.Sprintf("many.%d", n), 1, 2)
	}
	publish(t, sc, "small", 1, 50)
	publish(t, sc, "expired", 1, 5)
	publish(t, sc, "full", 1, 10)
	env := []string{"OLD=" + s.URL(), "MONITOR=" + monitor, "DIR=" + dir, "TARGET=" + target}
	c := startCopy(t, follows, env...)
	c.says(t, `Channel "full": the old server allows no further subscription`)
	c.says(t, "stop the old server now")
	publish(t, sc, "small", 51, 150)
	publish(t, sc, "full", 11, 20)
	publish(t, sc, "later", 1, 3) // a channel that was not there
	s.Stop()
	c.ends(t, 0)
	replace(t, s, "sqlite", target, "-event_channels", "eventstore.>")
	sc = h.connect("after", true)
	for channel, next := range map[string]uint64{"small": 151, "expired": 6, "full": 21, "later": 4, "many.7": 3} {
		came := make(chan *stan.Msg, 1000)
		if _, err := sc.Subscribe(channel, func(m *stan.Msg) { came <- m }, stan.DeliverAllAvailable()); err != nil {
			t.Fatal(err)
		}
		publish(t, sc, channel, int(next), int(next))
		var got []uint64
		for len(got) == 0 || got[len(got)-1] != next {
			select {
			case m := <-came:
				if string(m.Data) != fmt.Sprint(m.Sequence) {
					t.Errorf("channel %s: message %d is %q", channel, m.Sequence, m.Data)
				}
				got = append(got, m.Sequence)
			case <-time.After(harness.Patience):
				t.Fatalf("channel %s: got %v, want up to %d", channel, got, next)
			}
		}
		if !slices.IsSorted(got) || channel != "expired" && channel != "small" && len(got) != int(next) || channel == "small" && len(got) < 21 {
			t.Errorf("channel %s: %v", channel, got)
		}
	}
	harness.Verify(t, "sqlite", target)
}

// A server that lost its store, and targets and flags that are wrong, are refused.
func TestMoveRefused(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), databases.SQLite(t)
	s, monitor := oldServer(t, "-store", "FILE", "-dir", dir)
	s.Launch()
	s.Ready()
	h := settle(t, s.URL())
	sc := h.connect("publisher", false)
	publish(t, sc, "c", 1, 10)
	env := []string{"OLD=" + s.URL(), "MONITOR=" + monitor, "DIR=" + dir, "TARGET=" + target}
	once := startCopy(t, `eventstore copy --from-nats "$OLD" --from-monitor "$MONITOR" --to-dsn "$TARGET"`, env...)
	once.says(t, "run the command again with --follow")
	once.ends(t, 0)
	for line, want := range map[string]string{
		`eventstore copy --from-nats "$OLD" --from-monitor "$MONITOR" --to-dsn "$TARGET" --follow`:                                      "--from-dir",
		`eventstore copy --from-nats "$OLD" --to-dsn "$TARGET"`:                                                                         "--from-monitor",
		`eventstore copy --from-nats "$OLD" --from-monitor "$MONITOR" --from-cluster other --to-dsn other.db`:                           `"other"`,
		`eventstore copy --from-nats "$OLD" --from-monitor "$MONITOR" --from-dir "$DIR" --from-dsn x.db --to-dsn other.db`:              "exclude",
		`eventstore copy c --from-nats "$OLD" --from-monitor "$MONITOR" --to-dsn other.db`:                                              "cannot be chosen",
		`eventstore copy --from-monitor "$MONITOR" --from-dir "$DIR" --to-dsn other.db`:                                                 "belong to --from-nats",
		`eventstore copy --from-nats "$OLD" --from-monitor http://127.0.0.1:1 --to-dsn other.db`:                                        "monitoring",
		`eventstore copy --from-nats "nats://user:hidden@127.0.0.1:1" --from-monitor "$MONITOR" --from-dir "$DIR" --to-dsn other.db -f`: "127.0.0.1:1",
	} {
		refused := startCopy(t, line, env...)
		refused.says(t, want)
		<-refused.Done()
		if refused.Wait() == nil || refused.log.Contains("hidden") {
			t.Errorf("%s: %s", line, refused.log)
		}
	}
	s.Stop()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	sc = h.connect("publisher-2", false)
	publish(t, sc, "c", 1, 5)
	reset := startCopy(t, follows, env...)
	reset.says(t, "the server has lost its store")
	reset.ends(t, 1)
	publish(t, sc, "c", 6, 12) // as many and more
	reset = startCopy(t, follows, env...)
	reset.says(t, "is not the one that was copied")
	reset.ends(t, 1)
}
