package test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// Promise 5: unacknowledged messages of a durable or a queue group are redelivered, whatever happens. These tests crash
// the server while a group's state changes.

// TestUnackedSurviveAJoin: A holds messages of a durable queue group, B joins, and the server is killed at once.
func TestUnackedSurviveAJoin(t *testing.T) {
	t.Parallel()
	const trials, held = 4, 100
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		a, b := wire.Dial(t, s.URL()).Register("a"), wire.Dial(t, s.URL()).Register("b")
		member := []wire.Option{wire.All, wire.Queue("q"), wire.Durable("d"), wire.Max(held), wire.AckWait(5)}
		var groups [][]*wire.Sub
		for i := range trials {
			channel := fmt.Sprint("joined-", i)
			a.Fill(channel, held)
			first := a.Sub(channel, member...)
			first.Take(held)
			second := b.Sub(channel, member...)
			s.Kill()
			s.Restart()
			groups = append(groups, []*wire.Sub{first, second})
		}
		requireAgain(t, held, groups)
	})
}

// TestUnackedSurviveAClose: a durable with unacknowledged messages closes its subscription. The server is killed at the
// first trace of that in the database.
func TestUnackedSurviveAClose(t *testing.T) {
	t.Parallel()
	const trials, held = 6, 100
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		a := wire.Dial(t, s.URL()).Register("a")
		durable := []wire.Option{wire.All, wire.Durable("d"), wire.Max(held), wire.AckWait(5)}
		db := openSQL(t, driver, source)
		for i := range trials {
			channel := fmt.Sprint("closed-", i)
			a.Fill(channel, held)
			sub := a.Sub(channel, durable...)
			sub.Take(held)
			before := subscriptionRows(t, db)
			answered := closeAsync(t, sub)
			for changed := false; !changed; {
				select {
				case <-answered:
					changed = true
				default:
					changed = !bytes.Equal(subscriptionRows(t, db), before)
				}
			}
			s.Kill()
			s.Restart()
		}
		// After the kill, the server may not know that the last subscription was closed.
		_ = a.Bye()
		a = wire.Dial(t, s.URL()).Register("a")
		var groups [][]*wire.Sub
		for i := range trials {
			groups = append(groups, []*wire.Sub{a.Sub(fmt.Sprint("closed-", i), durable...)})
		}
		requireAgain(t, held, groups)
	})
}

// TestRemovedMemberStaysAway: the database is locked while a member of a queue group unsubscribes. After the lock ends,
// the removal is stored. After a crash, other members get the member's messages.
func TestRemovedMemberStaysAway(t *testing.T) {
	t.Parallel()
	const held, more = 20, 20
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-store_timeout", "1s")
		a, b := wire.Dial(t, s.URL()).Register("a"), wire.Dial(t, s.URL()).Register("b")
		member := []wire.Option{wire.All, wire.Queue("q"), wire.Durable("d"), wire.Max(1000), wire.AckWait(5)}
		leaver, stayer := a.Sub("c", member...), b.Sub("c", member...)
		a.Fill("c", held)
		leaver.Next() // both hold some
		stayer.Next()

		unlock := lockSubscriptions(t, driver, source)
		if text := leaver.Unsubscribe(); text != "" {
			t.Logf("unsubscribe: %s", text)
		}
		unlock()
		db := openSQL(t, driver, source)
		deadline := time.Now().Add(patience)
		for bytes.Count(subscriptionRows(t, db), []byte("\n")) > 1 {
			if time.Now().After(deadline) {
				t.Error("the removal of the member was not stored")
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		s.Kill()
		for leaver.Waiting() > 0 {
			leaver.Next()
		}
		for stayer.Waiting() > 0 {
			stayer.Next()
		}
		s.Restart()
		b.Fill("c", more)
		requireAgain(t, held+more, [][]*wire.Sub{{stayer}})
		if n := leaver.Waiting(); n > 0 {
			t.Errorf("the removed member received %d messages", n)
		}
	})
}

// requireAgain acknowledges the messages of each group until its members have received all n messages of the channel.
func requireAgain(t *testing.T, n int, groups [][]*wire.Sub) {
	t.Helper()
	deadline := time.Now().Add(patience / 3)
	for _, members := range groups {
		seen := map[uint64]bool{}
		for len(seen) < n && time.Now().Before(deadline) {
			for _, sub := range members {
				for m, ok := sub.Within(10 * time.Millisecond); ok; m, ok = sub.Within(10 * time.Millisecond) {
					seen[m.Sequence] = true
					sub.Ack(m.Sequence)
				}
			}
		}
		if len(seen) < n {
			t.Errorf("%s: %d of %d unacknowledged messages were redelivered: %d", members[0].Channel, len(seen), n, slices.Sorted(maps.Keys(seen)))
		}
	}
}

// closeAsync sends a request to close a subscription. The returned channel is closed when the answer arrives.
func closeAsync(t *testing.T, sub *wire.Sub) <-chan struct{} {
	t.Helper()
	answered := make(chan struct{})
	inbox := nats.NewInbox()
	answers, err := sub.Client.Conn.Conn.Subscribe(inbox, func(*nats.Msg) { close(answered) })
	if err != nil {
		t.Fatal(err)
	}
	if err := answers.AutoUnsubscribe(1); err != nil {
		t.Fatal(err)
	}
	if err := sub.Client.PublishRequest(wire.SubClose, inbox, wire.Encode(t, sub.EndRequest())); err != nil {
		t.Fatal(err)
	}
	return answered
}

// openSQL opens a database for the test's own statements.
func openSQL(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	if driver == "sqlite" {
		source += "?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// subscriptionRows returns the rows of the existing subscriptions, one per line.
func subscriptionRows(t *testing.T, db *sql.DB) []byte {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT subid, proto FROM Subscriptions WHERE deleted = FALSE ORDER BY subid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []byte
	for rows.Next() {
		var id uint64
		var proto []byte
		if err := rows.Scan(&id, &proto); err != nil {
			t.Fatal(err)
		}
		lines = fmt.Appendf(lines, "%d %s\n", id, strconv.Quote(string(proto)))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// lockSubscriptions makes another program lock the rows of all subscriptions, or the file on SQLite, until unlock.
func lockSubscriptions(t *testing.T, driver, source string) (unlock func()) {
	t.Helper()
	conn, err := openSQL(t, driver, source).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	execute := func(text string) {
		t.Helper()
		if _, err := conn.ExecContext(context.Background(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if driver == "sqlite" {
		execute("BEGIN IMMEDIATE")
	} else {
		execute("BEGIN")
		execute("UPDATE Subscriptions SET lastsent = lastsent + 1")
	}
	return func() {
		t.Helper()
		execute("ROLLBACK")
		_ = conn.Close()
	}
}
