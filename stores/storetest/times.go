package storetest

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func testTimestamps(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, plain := channel(t, s, "eventstore.c"), channel(t, s, "plain")
	start := time.Now().UnixNano()
	results := appendAll(t, s, event{aggregate: "a"}.on(t, c), event{aggregate: "a"}.on(t, c), stores.Append{Channel: plain})
	for i, r := range results {
		if r.Message.Timestamp < start || r.Message.Timestamp > time.Now().UnixNano() {
			t.Errorf("message %d: timestamp %d", i, r.Message.Timestamp)
		}
	}
	if results[1].Message.Timestamp < results[0].Message.Timestamp {
		t.Error("timestamps go back")
	}
	// The view shows microseconds, in UTC.
	want := time.Unix(0, results[0].Message.Timestamp).UTC().Format("2006-01-02T15:04:05.000000")
	column := map[string]string{
		"postgres": "to_char(time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')",
		"mysql":    "DATE_FORMAT(time, '%Y-%m-%dT%H:%i:%s.%f')",
		"sqlite":   "time",
	}[o.Driver]
	if got := queryText(t, raw(t, o), "SELECT "+column+" FROM events WHERE sequence = 1"); strings.TrimSuffix(got, "Z") != want {
		t.Errorf("time %s, want %s", got, want)
	}
	// The last server's clock was an hour ahead.
	ahead := time.Now().Add(time.Hour).UnixNano()
	exec(t, raw(t, o), fmt.Sprintf("UPDATE Messages SET timestamp = %d WHERE event_type IS NULL", ahead))
	s, _ = restart(t, s, o)
	plain = s.Channel("plain")
	if r := appendAll(t, s, stores.Append{Channel: plain})[0]; r.Message.Timestamp < ahead {
		t.Error("timestamps go back after a restart")
	}
}

func testSequenceAt(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, empty := channel(t, s, "c"), channel(t, s, "empty")
	find := func(c *stores.Channel, ns int64) uint64 {
		t.Helper()
		seq, err := s.SequenceAt(testContext(t), c, ns)
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	if got := find(empty, 0); got != 0 {
		t.Errorf("%d in an empty channel", got)
	}
	var batch []stores.Append
	for range 20 {
		batch = append(batch, stores.Append{Channel: c})
	}
	appendAll(t, s, batch...)
	// Times 10, 10, 20, 20, …; 1 to 3, 8 and 20 have expired.
	db := raw(t, o)
	exec(t, db, "UPDATE Messages SET timestamp = "+map[bool]string{true: "((seq + 1) DIV 2) * 10", false: "((seq + 1) / 2) * 10"}[o.Driver == "mysql"])
	exec(t, db, "DELETE FROM Messages WHERE seq <= 3 OR seq IN (8, 20)")
	s, _ = restart(t, s, o)
	c = s.Channel("c")
	if info := c.Info(); info.First != 4 || info.Last != 20 || info.LastTime != 100 {
		t.Fatalf("recovered %+v", info)
	}
	for ns, want := range map[int64]uint64{-1: 4, 0: 4, 20: 4, 21: 5, 30: 5, 31: 7, 40: 7, 41: 9, 50: 9, 99: 19, 100: 19, 101: 0, 1 << 62: 0} {
		if got := find(c, ns); got != want {
			t.Errorf("at %d: sequence %d, want %d", ns, got, want)
		}
	}
	if expectSequence := appendAll(t, s, stores.Append{Channel: c})[0].Sequence; expectSequence != 21 {
		t.Errorf("sequence %d was assigned twice", expectSequence)
	}
}

// testClockBehind: timestamps stand still if the clock is behind a channel's last message, and the log says so, once.
func testClockBehind(t *testing.T, o stores.Options) {
	var log bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, _ := lead(t, o)
	c, other := channel(t, s, "ahead"), channel(t, s, "other")
	late := time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC).UnixNano()
	if err := s.Restore(testContext(t), c, []*pb.MsgProto{{Sequence: 1, Timestamp: late}}, 1); err != nil {
		t.Fatal(err)
	}
	expect(t, appendAll(t, s, stores.Append{Channel: other}), "1")
	if strings.Contains(log.String(), "clock") {
		t.Errorf("a warning without a reason:\n%s", log.String())
	}
	for range 2 {
		if r := appendAll(t, s, stores.Append{Channel: other}, stores.Append{Channel: c}, stores.Append{Channel: c})[2]; r.Message.Timestamp != late {
			t.Errorf("timestamp %d, want %d", r.Message.Timestamp, late)
		}
	}
	if text := log.String(); strings.Count(text, "the clock is behind") != 1 || !strings.Contains(text, "channel=ahead") || !strings.Contains(text, "last_message=2106-02-07T06:28:16") {
		t.Errorf("log:\n%s", text)
	}
}
