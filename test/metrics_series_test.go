package test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// count returns how many series a metric has.
func (m metrics) count(metric string) (n int) {
	for series := range m {
		if strings.HasPrefix(series, "nats_streaming_"+metric+"{") {
			n++
		}
	}
	return n
}

// There are more channels, durables and channels of a relay than -metrics_series. The oldest have series of their own, and
// the metrics of the others are added up.
func TestMetricsOfManyChannels(t *testing.T) {
	t.Parallel()
	const channels, limit = 15, 10
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(`streaming { metrics_series: 10, routes { stream: EVENTS, subject: "E.{event_type}" } }`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startMemory(t, harness.Binary(), "-sc", file, "-js", "-sd", t.TempDir())
	sc := s.connect("client")
	// The stream takes one event: the relay waits with all others.
	js, err := sc.NatsConn().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	var stream *nats.StreamInfo
	eventually(t, func() bool {
		stream, err = js.StreamInfo("EVENTS")
		return err == nil
	})
	stream.Config.MaxMsgs, stream.Config.Discard = 1, nats.DiscardNew
	if _, err := js.UpdateStream(&stream.Config); err != nil {
		t.Fatal(err)
	}
	bytes := 0.0
	for i := range channels {
		channel := fmt.Sprintf("eventstore.%d", channels-i) // not in the order of their names
		if _, err := sc.Subscribe(channel, func(*stan.Msg) {}, stan.DurableName("d"), stan.SetManualAckMode()); err != nil {
			t.Fatal(err)
		}
		publish(t, sc, channel, event(t, "A", "T"), event(t, "A", "T"))
		if i == limit-1 {
			bytes = s.metrics()["nats_streaming_message_bytes"]
		}
	}
	var m metrics
	eventually(t, func() bool { // the relay hears of a channel's messages a moment later
		m = s.metrics()
		return m[`nats_streaming_relay_other_lag_messages{stream="EVENTS"}`] == 2*(channels-limit)
	})
	for _, metric := range []string{"channel_messages", "channel_message_bytes", "channel_last_sequence", "lag_messages", "lag_seconds", "relay_lag_messages"} {
		if got := m.count(metric); got != limit {
			t.Errorf("%d series of %s, want %d", got, metric, limit)
		}
	}
	m.check(t, map[string]float64{
		"channels": channels, "messages": 2 * channels,
		`channel_messages{channel="eventstore.6"}`: 2, // the last of the oldest
		"other_channels":                        channels - limit,
		"other_channel_messages":                2 * (channels - limit),
		"other_channel_message_bytes":           m["nats_streaming_message_bytes"] - bytes,
		"other_groups":                          channels - limit,
		"other_lag_messages":                    2 * (channels - limit),
		`relay_other_channels{stream="EVENTS"}`: channels - limit,
	})
}

// 20,000 durables have a page of bounded size, and those without series of their own are added up rightly.
func TestMetricsOfManyDurables(t *testing.T) {
	t.Parallel()
	const durables, limit = 20000, 1000
	source := databases.SQLite(t)
	s := start(t, "sqlite", source, "-m", "-1")
	sc := s.connect("client")
	_, in := subscribe(t, sc, "c", stan.DeliverAllAvailable())
	fill(t, sc, "c", 3)
	template, _ := subscribe(t, sc, "c", stan.DurableName("template")) // from sequence 4 on
	if err := template.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, sc, "c", 7)
	in.next(t)
	second := time.Unix(0, in.next(t).Timestamp)
	s.Stop()

	// The newest durable lags behind all others.
	addDurables(t, source, durables, func(i int) uint64 {
		if i == durables-1 {
			return 1
		}
		return 3
	})
	s.Restart()
	body, _ := s.get("/metrics")
	if len(body) > 1<<20 {
		t.Errorf("the page has %d bytes", len(body))
	}
	m := s.metrics()
	if got := m.count("lag_messages"); got != limit {
		t.Errorf("%d durables have series, want %d", got, limit)
	}
	m.check(t, map[string]float64{
		`subscriptions{state="offline"}`:                     durables + 1,
		lagSeries("messages", "c", "client", "template", ""): 7, // the oldest
		lagSeries("messages", "c", "client", "d-00998", ""):  7,
		"other_groups":       durables + 1 - limit,
		"other_lag_messages": 7*(durables+1-limit) + 2,
		"other_channels":     0, "other_channel_messages": 0,
	})
	eventually(t, func() bool { // the timestamp is looked up after a scrape
		least := time.Since(second).Seconds()
		got := s.metrics()["nats_streaming_other_lag_seconds"]
		return got >= least && got <= time.Since(second).Seconds()
	})
	began := time.Now()
	s.get("/metrics")
	t.Logf("a page of %d bytes about %d durables took %v", len(body), durables, time.Since(began))
}

// addDurables copies the stored durable template of channel c, n times. lastSent returns the position of the i-th copy.
func addDurables(t *testing.T, source string, n int, lastSent func(i int) uint64) {
	t.Helper()
	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var channel, id uint64
	var contents []byte
	if err := tx.QueryRow("SELECT id, subid, proto FROM Subscriptions ORDER BY subid DESC LIMIT 1").Scan(&channel, &id, &contents); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var state spb.SubState
		if err := state.Unmarshal(contents); err != nil {
			t.Fatal(err)
		}
		state.ID = id + uint64(i) + 1
		state.DurableName = fmt.Sprintf("d-%05d", i)
		state.LastSent = lastSent(i)
		row, err := state.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("INSERT INTO Subscriptions (id, subid, proto) VALUES (?, ?, ?)", channel, state.ID, row); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec("INSERT INTO Consumers (consumer, id, lastsent, members) VALUES (?, ?, ?, ?)",
			state.ID, channel, state.LastSent, fmt.Sprintf("[%d]", state.ID)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
