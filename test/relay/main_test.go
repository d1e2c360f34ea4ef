// Package relay tests the relay to JetStream from outside: with the built binary, a nats-server, official clients, and
// SQL.
package relay

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // drivers for table
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const (
	orders  = "eventstore.orders"
	returns = "eventstore.returns"
)

// configuration writes a configuration file.
func configuration(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func connect(t *testing.T, s *harness.Server, client string) stan.Conn {
	t.Helper()
	sc, err := stan.Connect("test-cluster", client, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience),
		stan.SetConnectionLostHandler(func(stan.Conn, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sc.NatsConn().Close() })
	return sc
}

// streams returns the JetStream client of a server.
func streams(t *testing.T, s *harness.Server) (jetstream.JetStream, *nats.Conn) {
	t.Helper()
	nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js, nc
}

// patient returns a context that ends when a test has waited too long.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

func event(t testing.TB, e *eventstorev1.Event) []byte {
	t.Helper()
	payload, err := proto.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// order returns an event of an order.
func order(t testing.TB, id, typ string, n int) []byte {
	return event(t, &eventstorev1.Event{AggregateId: id, EventType: typ, EventData: fmt.Appendf(nil, `{"n":%d}`, n)})
}

func publish(t *testing.T, sc stan.Conn, channel string, payloads ...[]byte) {
	t.Helper()
	for _, p := range payloads {
		if err := sc.Publish(channel, p); err != nil {
			t.Fatal(err)
		}
	}
}

// waitStream waits until a stream's last sequence has reached last.
func waitStream(t *testing.T, js jetstream.JetStream, name string, last uint64) {
	t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		stream, err := js.Stream(ctx, name)
		cancel()
		if err == nil && stream.CachedInfo().State.LastSeq >= last {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("stream %s has not reached sequence %d: error %v, %+v", name, last, err, stream)
		}
		time.Sleep(5 * time.Millisecond) // polls another process
	}
}

// content returns all messages of a stream, in order.
func content(t *testing.T, js jetstream.JetStream, name string) []jetstream.Msg {
	t.Helper()
	ctx := patient(t)
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	n := int(stream.CachedInfo().State.Msgs)
	consumer, err := js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	var all []jetstream.Msg
	for len(all) < n {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("message %d of %d: %v", len(all)+1, n, err)
		}
		all = append(all, m)
	}
	return all
}

// place returns the origin of a message, "channel/sequence".
func place(m jetstream.Msg) string {
	return m.Headers().Get("Nats-Streaming-Channel") + "/" + m.Headers().Get("Nats-Streaming-Sequence")
}

func places(msgs []jetstream.Msg) string {
	var all []string
	for _, m := range msgs {
		all = append(all, place(m))
	}
	return strings.Join(all, " ")
}

// table returns the stored events as "channel/sequence type data".
func table(t *testing.T, driver, source string) map[string]bool {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT channel, sequence, event_type, aggregate_id, event_version FROM events")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := make(map[string]bool)
	for rows.Next() {
		var channel, typ, aggregate string
		var seq, version uint64
		if err := rows.Scan(&channel, &seq, &typ, &aggregate, &version); err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprintf("%s/%d %s of %s, version %d", channel, seq, typ, aggregate, version)] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// agree compares a stream with the table. No event may be missing or duplicated, and each channel must be in order.
func agree(t *testing.T, driver, source string, msgs []jetstream.Msg) {
	t.Helper()
	want := table(t, driver, source)
	last := make(map[string]uint64)
	var errs []error
	for _, m := range msgs {
		var e eventstorev1.Event
		if err := proto.Unmarshal(m.Data(), &e); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%s %s of %s, version %d", place(m), e.EventType, e.AggregateId, e.EventVersion)
		if !want[line] {
			errs = append(errs, fmt.Errorf("%s is in the stream twice or not in the table", line))
		}
		delete(want, line)
		var seq uint64
		channel := m.Headers().Get("Nats-Streaming-Channel")
		if _, err := fmt.Sscan(m.Headers().Get("Nats-Streaming-Sequence"), &seq); err != nil {
			t.Fatal(err)
		}
		if seq <= last[channel] {
			errs = append(errs, fmt.Errorf("%s follows sequence %d", place(m), last[channel]))
		}
		last[channel] = seq
	}
	for line := range want {
		errs = append(errs, fmt.Errorf("%s is not in the stream", line))
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
}
