package tool_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// jetStream starts a nats-server and returns a client of its JetStream.
func jetStream(t *testing.T, args ...string) (*harness.Server, jetstream.JetStream) {
	t.Helper()
	s := harness.NATS(t, args...)
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return s, js
}

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

// appendFile appends n events "T0", "T1", ... with IDs that begin with a prefix.
func (u *user) appendMany(channel, prefix string, n int) {
	u.t.Helper()
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"id":"%s%d","type":"T%d","aggregate_id":"a%d","data":{"n":%d}}`+"\n", prefix, i, i%3, i%10, i)
	}
	file := filepath.Join(u.home, prefix+".ndjson")
	if err := os.WriteFile(file, []byte(lines.String()), 0o600); err != nil {
		u.t.Fatal(err)
	}
	u.ok("append", channel, "--file", file, "--batch", "1000")
}

// messages returns the messages of a stream by sequence.
func messages(t *testing.T, js jetstream.JetStream, name string) map[uint64]*jetstream.RawStreamMsg {
	t.Helper()
	ctx := patient(t)
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[uint64]*jetstream.RawStreamMsg)
	state := stream.CachedInfo().State
	for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
		m, err := stream.GetMsg(ctx, seq)
		if err == nil {
			all[seq] = m
		}
	}
	if uint64(len(all)) != state.Msgs {
		t.Errorf("stream %s has %d messages, its state says %d", name, len(all), state.Msgs)
	}
	return all
}

// Streams have the messages of their channels with the same sequences, and applications go on with JetStream where their durables and
// queue groups were.
func TestCopyToJetStream(t *testing.T) {
	t.Parallel()
	s, u := server(t, "sqlite", databases.SQLite(t))
	target, js := jetStream(t)
	u.appendMany(orders, "e", 100)
	u.ok("append", "eventstore.users", "-t", "NameTaken", "-a", "u1", "--id", "n 1", "--tag", "name:ada")
	u.ok("consumers", "set", orders, "d:g", "--max-deliveries", "7", "--backoff", "1s,5s")

	sc := connect(t, s, "worker")
	acknowledged := make(chan uint64, 100)
	receive := func(last uint64) stan.MsgHandler {
		return func(m *stan.Msg) {
			if m.Sequence <= last && m.Sequence != 5 {
				_ = m.Ack()
			}
			acknowledged <- m.Sequence
		}
	}
	if _, err := sc.Subscribe(orders, receive(10), stan.DurableName("billing"), stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.MaxInflight(3), stan.AckWait(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for range 12 { // 5, 11 and 12 are not acknowledged
		select {
		case <-acknowledged:
		case <-time.After(harness.Patience):
			t.Fatal("no message")
		}
	}
	if _, err := sc.QueueSubscribe(orders, "g", func(*stan.Msg) {}, stan.DurableName("d"), stan.StartAtSequence(41), stan.SetManualAckMode(), stan.MaxInflight(2)); err != nil {
		t.Fatal(err)
	}
	if err := sc.NatsConn().Flush(); err != nil {
		t.Fatal(err)
	}

	copied := u.objects("copy", "--to-jetstream", target.URL())
	t.Log(u.ok("copy", "--to-jetstream", target.URL()))
	if got := column(copied, "copied"); !strings.HasPrefix(got, "100 1 ") {
		t.Errorf("copied %s", got)
	}
	stored := messages(t, js, "eventstore_orders")
	for i := range 100 {
		m := stored[uint64(i+1)]
		if m == nil {
			t.Fatalf("message %d is missing", i+1)
		}
		if m.Subject != orders || m.Header.Get("Event-Id") != "e"+strconv.Itoa(i) || m.Header.Get("Nats-Msg-Id") != "e"+strconv.Itoa(i) ||
			m.Header.Get("Nats-Streaming-Sequence") != strconv.Itoa(i+1) || m.Header.Get("Event-Time") == "" {
			t.Fatalf("message %d: %s %v", i+1, m.Subject, m.Header)
		}
	}
	if m := messages(t, js, "eventstore_users")[1]; m.Header.Get("Event-Tag") != "name:ada" || m.Header.Get("Nats-Msg-Id") != "n%201" {
		t.Errorf("headers %v", m.Header)
	}

	ctx := patient(t)
	for name, want := range map[string]uint64{"worker_billing": 5, "d_g": 41} {
		consumer, err := js.Consumer(ctx, "eventstore_orders", name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := consumer.Next(jetstream.FetchMaxWait(harness.Patience))
		if err != nil {
			t.Fatal(err)
		}
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != want {
			t.Errorf("%s goes on with %v, want %d (%v)", name, meta, want, err)
		}
		c := consumer.CachedInfo().Config
		t.Logf("%s: %+v", name, c)
	}
	again := u.objects("copy", "--to-jetstream", target.URL())
	if got := column(again, "copied"); !strings.HasPrefix(got, "0 0 ") {
		t.Errorf("a second run copied %s", got)
	}
	t.Log(column(again, "state"))
}
