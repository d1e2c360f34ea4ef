package tool_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // drivers for open
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

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

// killJetStream kills a nats-server and starts it again.
func killJetStream(t *testing.T, s *harness.Server) {
	t.Helper()
	s.Kill()
	s.Launch()
	s.WaitLog(t, "Server is ready")
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

	planned := u.objects("copy", "--to-jetstream", target.URL(), "--dry-run")
	if got := column(planned, "state"); got != "<nil> <nil> planned planned" {
		t.Errorf("a dry run says %s", got)
	}
	if _, err := js.Stream(patient(t), "eventstore_orders"); err == nil {
		t.Error("a dry run has made a stream")
	}
	out, notes := u.run(0, "", "copy", "--to-jetstream", target.URL())
	contains(t, out, "eventstore_orders  eventstore.orders  100   100       100", "worker_billing  5     created")
	contains(t, notes, "billing of client worker on channel eventstore.orders: it gets up to 5 messages again", "JetStream does not park")
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
	if got := column(u.objects("copy", "--to-jetstream", target.URL()), "copied"); !strings.HasPrefix(got, "0 0 ") {
		t.Errorf("a second run copied %s", got)
	}

	// An application goes on, so that a further run leaves its consumer alone.
	ctx := patient(t)
	for name, want := range map[string]struct {
		next     uint64
		inflight int
		wait     time.Duration
		deliver  int
	}{"worker_billing": {5, 3, time.Hour, -1}, "d_g": {41, 2, time.Second, 7}} {
		consumer, err := js.Consumer(ctx, "eventstore_orders", name)
		if err != nil {
			t.Fatal(err)
		}
		c := consumer.CachedInfo().Config
		if c.MaxAckPending != want.inflight || c.AckWait != want.wait || c.MaxDeliver != want.deliver {
			t.Errorf("%s: %+v", name, c)
		}
		for next := range uint64(2) {
			m, err := consumer.Next(jetstream.FetchMaxWait(harness.Patience))
			if err != nil {
				t.Fatal(err)
			}
			if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != want.next+next {
				t.Errorf("%s goes on with %v, want %d (%v)", name, meta, want.next+next, err)
			}
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := column(u.objects("copy", "--to-jetstream", target.URL()), "state"); got != "<nil> <nil> in use in use" {
		t.Errorf("after their use, consumers are %s", got)
	}

	// Somebody else publishes to the stream.
	if _, err := js.Publish(ctx, orders, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	u.ok("append", orders, "-t", "T", "-a", "a")
	u.fails(failed, "somebody else publishes to the stream", "copy", "--to-jetstream", target.URL())
}

// What would lose messages or mix them up is refused before anything is written, and says what to do.
func TestCopyToJetStreamRefuses(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	target, js := jetStream(t)
	u.appendMany("eventstore.a_b", "x", 3)
	u.appendMany("eventstore.a.b", "y", 3)
	to := func(args ...string) []string {
		return append([]string{"copy", "--to-jetstream", target.URL()}, args...)
	}
	u.fails(failed, "both become stream", to()...)
	u.fails(failed, "share subjects", to("--stream", "eventstore.a.b=AB", "--subject", "events.{event_type}")...)
	u.fails(failed, "begin with a word", to("eventstore.a.b", "--subject", "{event_type}")...)
	u.fails(usage, "{event}", to("--subject", "{event}")...)
	u.fails(usage, "--payload", to("--payload", "x")...)
	u.fails(usage, "OLD=NEW", to("--stream", "x")...)
	u.fails(failed, "not a valid stream name", to("eventstore.a.b", "--stream", "eventstore.a.b=a.b")...)
	u.fails(notFound, "--dsn", to("plain")...)
	u.fails(usage, "exclude each other", to("--to-dsn", "x.db")...)
	u.fails(usage, "password", "copy", "--to-jetstream", "nats://u:secret@127.0.0.1:1")
	u.fails(unreachable, "start the nats-server", "copy", "--to-jetstream", "nats://127.0.0.1:1")
	ctx := patient(t)
	one := to("eventstore.a.b", "--stream", "eventstore.a.b=ONE")
	for text, config := range map[string]jetstream.StreamConfig{
		"max_msgs":      {MaxMsgs: 2},
		"max_age":       {MaxAge: time.Hour},
		"retention":     {Retention: jetstream.WorkQueuePolicy},
		"do not cover":  {Subjects: []string{"other"}},
		"maximum bytes": {MaxBytes: 500, Discard: jetstream.DiscardNew},
		"max_msg_size":  {MaxMsgSize: 100},
	} {
		config.Name = "ONE"
		if config.Subjects == nil {
			config.Subjects = []string{"eventstore.a.b"}
		}
		if _, err := js.CreateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
		u.fails(failed, text, one...)
		if err := js.DeleteStream(ctx, "ONE"); err != nil {
			t.Fatal(err)
		}
	}
	// A message that somebody publishes and removes takes the place of one of the channel.
	u.ok(one...)
	if _, err := js.Publish(ctx, "eventstore.a.b", []byte("mine")); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(ctx, "ONE")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.DeleteMsg(ctx, 4); err != nil {
		t.Fatal(err)
	}
	u.appendMany("eventstore.a.b", "z", 2)
	u.fails(failed, "lacks message 4", one...)
	if err := js.DeleteStream(ctx, "ONE"); err != nil {
		t.Fatal(err)
	}
	u.ok(one...)
	if stream, err = js.Stream(ctx, "ONE"); err != nil {
		t.Fatal(err)
	}
	// Each run says that a message in the middle was removed.
	if err := stream.DeleteMsg(ctx, 2); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, notes := u.run(0, "", one...); !strings.Contains(notes, "has 4 messages, channel \"eventstore.a.b\" has 5") {
			t.Errorf("a run says %q of a stream that lacks a message", notes)
		}
	}
	// A stream that was purged lacks what the channel has.
	if err := stream.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	u.fails(failed, "was the stream purged?", one...)

	small, _ := jetStream(t, "-c", u.file("small.conf", "max_payload: 500\njetstream {}"))
	u.ok("append", "eventstore.big", "-t", "T", "-a", "a", "-d", `"`+strings.Repeat("x", 1000)+`"`)
	u.fails(failed, "raise max_payload", "copy", "--to-jetstream", small.URL(), "eventstore.big")
}

func open(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing is left to write
	return db
}

// file writes a file and returns its path.
func (u *user) file(name, text string) string {
	u.t.Helper()
	path := filepath.Join(u.home, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
	return path
}

// Whenever the tool or the nats-server is killed, another run goes on, and the stream has each message once, in its place.
func TestCopyToJetStreamKilled(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	target, js := jetStream(t)
	const n = 6000
	u.appendMany(orders, "e", n)
	last := func() uint64 {
		stream, err := js.Stream(patient(t), "eventstore_orders")
		if err != nil {
			return 0
		}
		return stream.CachedInfo().State.LastSeq
	}
	for round := range uint64(3) {
		cmd := u.command("copy", "--to-jetstream", target.URL(), "--wait", harness.Patience.String())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for last() < round*1500+500 {
			time.Sleep(time.Millisecond) // polls another process
		}
		if round == 1 { // the copy waits for it
			killJetStream(t, target)
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			break
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	u.ok("copy", "--to-jetstream", target.URL())
	stored := messages(t, js, "eventstore_orders")
	if len(stored) != n {
		t.Errorf("%d messages, want %d", len(stored), n)
	}
	for i := range n {
		if m := stored[uint64(i+1)]; m == nil || m.Header.Get("Event-Id") != "e"+strconv.Itoa(i) {
			t.Fatalf("message %d: %+v", i+1, m)
		}
	}
}

// A copy that follows has new messages and new channels, also after the server and the nats-server were away, until it is stopped.
func TestCopyToJetStreamFollows(t *testing.T) {
	t.Parallel()
	s, u := server(t, "sqlite", databases.SQLite(t))
	target, js := jetStream(t)
	u.appendMany(orders, "e", 10)
	cmd := u.command("copy", "--to-jetstream", target.URL(), "--follow", "--wait", "1s")
	out := harness.NewLog()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	has := func(name string, n uint64) {
		t.Helper()
		deadline := time.Now().Add(harness.Patience)
		for {
			stream, err := js.Stream(patient(t), name)
			if err == nil && stream.CachedInfo().State.Msgs == n {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("stream %s: %v, %+v\n%s", name, err, stream, out)
			}
			time.Sleep(5 * time.Millisecond) // polls another process
		}
	}
	has("eventstore_orders", 10)
	u.appendMany(orders, "f", 10)
	u.appendMany("eventstore.users", "u", 10)
	has("eventstore_orders", 20)
	has("eventstore_users", 10)
	s.Kill()
	s.Restart()
	killJetStream(t, target)
	u.appendMany(orders, "g", 10)
	has("eventstore_orders", 30)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	contains(t, out.String(), "streams are level", "again without --follow")
}

// Sequences that ordinary channels no longer have are missing in their streams, too: before the first message, in the middle, and at the
// end. Consumers come from the database.
func TestCopyToJetStreamGaps(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, u := server(t, driver, source)
		target, js := jetStream(t)
		sc := connect(t, s, "publisher")
		for i := range 30 {
			if err := sc.Publish("plain", []byte("p"+strconv.Itoa(i+1))); err != nil {
				t.Fatal(err)
			}
		}
		received := make(chan *stan.Msg, 100)
		if _, err := sc.Subscribe("plain", func(m *stan.Msg) { received <- m }, stan.DurableName("d"), stan.SetManualAckMode(), stan.StartAtSequence(12), stan.MaxInflight(4)); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if m := <-received; i != 1 {
				if err := m.Ack(); err != nil {
					t.Fatal(err)
				}
			}
		}
		u.appendMany(orders, "e", 3)
		if err := sc.Close(); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		db := open(t, driver, source)
		if _, err := db.ExecContext(t.Context(), "DELETE FROM Messages WHERE id = (SELECT id FROM Channels WHERE name = 'plain') AND (seq <= 10 OR seq IN (15, 16, 20, 29, 30))"); err != nil {
			t.Fatal(err)
		}
		offline := newUser(t, "EVENTSTORE_DSN="+source, "EVENTSTORE_DRIVER="+driver)
		_, notes := offline.run(0, "", "copy", "--to-jetstream", target.URL())
		contains(t, notes, "it gets up to 2 messages again")
		stored := messages(t, js, "plain")
		for seq := uint64(1); seq <= 30; seq++ {
			m := stored[seq]
			gone := seq <= 10 || seq == 15 || seq == 16 || seq == 20 || seq >= 29
			switch {
			case gone != (m == nil):
				t.Errorf("message %d: there is %v", seq, m != nil)
			case m != nil && (string(m.Data) != "p"+strconv.FormatUint(seq, 10) || m.Header.Get("Nats-Streaming-Time") == ""):
				t.Errorf("message %d: %s %v", seq, m.Data, m.Header)
			}
		}
		ctx := patient(t)
		stream, err := js.Stream(ctx, "plain")
		if err != nil {
			t.Fatal(err)
		}
		if info := stream.CachedInfo(); info.State.LastSeq != 30 || len(info.Config.Subjects) != 1 {
			t.Errorf("the stream is %+v %v", info.State, info.Config.Subjects)
		}
		consumer, err := stream.Consumer(ctx, "publisher_d")
		if err != nil {
			t.Fatal(err)
		}
		m, err := consumer.Next(jetstream.FetchMaxWait(harness.Patience))
		if err != nil {
			t.Fatal(err)
		}
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream != 13 {
			t.Errorf("it goes on with %+v, %v", meta, err)
		}
		if len(messages(t, js, "eventstore_orders")) != 3 {
			t.Error("events are missing")
		}
		offline.ok("copy", "--to-jetstream", target.URL())
	})
}
