package moving_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// rich fills every table: events of all kinds, ordinary messages with a limit, copies, consumers with unacknowledged, redelivered and parked
// messages, patterns, clients, administrative acts, an erased event; then deleted events and what only older releases and relays write.
func rich(t *testing.T, p place) {
	t.Helper()
	conf := config(t, `limits { channels { "plain": { max_msgs: 3 } } }, routes: [ { types: "OrderPaid", channel: "paid" } ]`)
	s, at := server(t, p, "-wildcards", "-record_appenders", "-chain_interval", "50ms", "-c", conf)
	do := func(args ...string) string { t.Helper(); return run(t, 0, append(args, at...)...) }
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for i, data := range []string{`{"amount": 12.50, "big": 123456789012345678901234567890, "b": 1, "a": 2}`, deep, `{"nul":"\u0000","ü":"\ud83d\ude00"}`, `1e400`, `"text"`, ``} {
		do("append", orders, "-t", "OrderPaid", "-a", "o1", "--aggregate-type", "Order", "--id", fmt.Sprintf("e%d", i), "-d", data, "--tag", "customer:ü", "--tag", fmt.Sprint("n:", i), "-m", "user=ada")
	}
	sc := connect(t, s, "app")
	for i := range 9 {
		if err := sc.Publish("plain", []byte{0xff, 0, byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	do("append", "eventstore.users", "-t", "UserAdded", "-a", "u1", "-m", "Deliver-At=2099-01-01T00:00:00Z", "--id", "late")
	do("consumers", "set", orders, "d:g", "--max-deliveries", "2", "--ack-wait", "200ms", "--max-inflight", "2")
	got := make(chan *stan.Msg, 1000)
	each := func(m *stan.Msg) { got <- m }
	options := []stan.SubscriptionOption{stan.DurableName("d"), stan.SetManualAckMode(), stan.DeliverAllAvailable(), stan.AckWait(time.Second)}
	if _, err := sc.QueueSubscribe(orders, "g", each, options...); err != nil {
		t.Fatal(err)
	}
	for range 4 { // two of them twice
		receive(t, got)
	}
	for deadline := time.Now().Add(harness.Patience); !strings.Contains(do("consumers", "parked", orders, "d:g", "-o", "json"), `"sequence":1`); {
		if time.Now().After(deadline) {
			t.Fatal("nothing is parked")
		}
	}
	slow := make(chan *stan.Msg, 1000)
	for _, channel := range []string{orders, "plain", "eventstore.>"} {
		if _, err := sc.Subscribe(channel, func(m *stan.Msg) { slow <- m }, options...); err != nil {
			t.Fatal(err)
		}
		receive(t, slow)
		if err := receive(t, slow).Ack(); err != nil {
			t.Fatal(err)
		}
	}
	for !receive(t, slow).Redelivered { // so that redeliveries are counted
	}
	do("consumers", "pause", orders, "d:g")
	do("append", "eventstore.users", "-t", "UserAdded", "-a", "u2", "-d", `{"name":"Ada"}`)
	do("erase", "aggregate", "u2", "--reason", "request 1", "--yes")
	s.Stop()
	p.exec(t,
		"INSERT INTO TimeSteps (position) VALUES (4)",
		"INSERT INTO Relays (stream, position) VALUES ('ORDERS', '{\"created\":\"2026-01-01T00:00:00Z\"}')",
		"INSERT INTO SubsPending VALUES (77, 1, 2, 3, '[1,2]', NULL)",
		"INSERT INTO CancelledDeliveries (id, seq) VALUES (1, 5)",
		// erase the last event of a channel, and one in the middle
		"DROP TRIGGER events_are_immutable_delete", "DROP TRIGGER tags_are_immutable_delete",
		"UPDATE Channels SET msgs = msgs - (SELECT COUNT(*) FROM Messages WHERE Messages.id = Channels.id AND event_id IN ('e3', 'late')), bytes = bytes - (SELECT COALESCE(SUM(size), 0) FROM Messages WHERE Messages.id = Channels.id AND event_id IN ('e3', 'late'))",
		"DELETE FROM EventTags WHERE position IN (SELECT position FROM Messages WHERE event_id IN ('e3', 'late'))",
		"DELETE FROM Messages WHERE event_id IN ('e3', 'late')",
		"CREATE TRIGGER events_are_immutable_delete BEFORE DELETE ON Messages\nWHEN OLD.event_type IS NOT NULL\nBEGIN\n    SELECT RAISE(ABORT, 'events are immutable: DELETE refused');\nEND;",
		"CREATE TRIGGER tags_are_immutable_delete BEFORE DELETE ON EventTags\nWHEN NOT EXISTS (SELECT 1 FROM Messages AS m JOIN ErasedMessages AS e ON e.id = m.id AND e.seq = m.seq JOIN Erasures AS r ON r.id = e.erasure\n    WHERE m.position = OLD.position AND r.state = 'pending')\nBEGIN\n    SELECT RAISE(ABORT, 'events are immutable: DELETE of their tags refused');\nEND;",
	)
}

// A copy from any database to any other has every row of every table, and a server goes on where the first one was.
func TestCopyKeepsEverything(t *testing.T) {
	t.Parallel()
	from := newPlace(t, "sqlite")
	rich(t, from)
	want := from.dump(t)
	for table := range strings.SplitSeq(want, "SELECT ") {
		if strings.Count(table, "\n") == 1 {
			t.Errorf("the source has no row to copy: %s", table)
		}
	}
	erased := []string{"-erased", erasedList(t)}
	harness.Verify(t, from.driver, from.source, erased...)
	for _, driver := range []string{"postgres", "mysql", "sqlite", "mysql", "postgres", "sqlite"} {
		to := newPlace(t, driver)
		out := run(t, 0, copyArgs(from, to)...)
		contains(t, out, "Copied and compared", "-cluster_id test-cluster")
		same(t, want, to.dump(t))
		harness.Verify(t, to.driver, to.source, erased...)
		contains(t, run(t, 1, copyArgs(from, to)...), "not empty")
		from = to
	}
	s, at := server(t, from, "-wildcards")
	contains(t, run(t, 0, append([]string{"append", orders, "-t", "OrderPaid", "-a", "o1", "--aggregate-type", "Order", "--expect", "6"}, at...)...), "10 ")
	s.Stop()
}

func erasedList(t *testing.T) string {
	t.Helper()
	file := t.TempDir() + "/erased.txt"
	if err := os.WriteFile(file, []byte("4 "+orders+"\n1 eventstore.users\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
