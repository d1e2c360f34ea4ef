// Package routes tests routes to channels of NATS Streaming from outside: with the built binary, an official client, and
// SQL.
package routes

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // drivers for column
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const orders = "eventstore.orders"

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

func event(t testing.TB, id, typ, aggregate string, version uint64, data string) []byte {
	t.Helper()
	payload, err := proto.Marshal(&eventstorev1.Event{
		EventId: id, EventType: typ, AggregateId: aggregate, EventVersion: version, EventData: []byte(data),
	})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// read decodes an event.
func read(t testing.TB, payload []byte) *eventstorev1.Event {
	t.Helper()
	var e eventstorev1.Event
	if err := proto.Unmarshal(payload, &e); err != nil {
		t.Fatal(err)
	}
	return &e
}

// receive returns the first n messages of a channel.
func receive(t *testing.T, sc stan.Conn, channel string, n int) []*stan.Msg {
	t.Helper()
	in := make(chan *stan.Msg, n+1)
	sub, err := sc.Subscribe(channel, func(m *stan.Msg) { in <- m }, stan.DeliverAllAvailable())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}()
	var msgs []*stan.Msg
	deadline := time.After(harness.Patience)
	for len(msgs) < n {
		select {
		case m := <-in:
			msgs = append(msgs, m)
		case <-deadline:
			t.Fatalf("channel %q: %d messages, want %d", channel, len(msgs), n)
		}
	}
	return msgs
}

// column returns the values of the first column.
func column(t testing.TB, driver, source, text string) []string {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var v sql.NullString
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v.String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

// stored returns the number of messages in a channel.
func stored(t testing.TB, driver, source, channel string) string {
	t.Helper()
	return column(t, driver, source, fmt.Sprintf(
		"SELECT COUNT(*) FROM Messages WHERE id IN (SELECT id FROM Channels WHERE name = '%s')", channel))[0]
}
