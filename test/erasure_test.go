package test

import (
	"database/sql"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestErasure runs the statements of docs/erasure.md and checks what the page says about the result.
func TestErasure(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/erasure.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{"postgres": "### PostgreSQL", "mysql": "### MySQL", "sqlite": "### SQLite"}
	databases.Each(t, func(t *testing.T, driver, source string) {
		_, section, _ := strings.Cut(string(page), sections[driver])
		_, section, _ = strings.Cut(section, "```sql\n")
		statements, _, found := strings.Cut(section, "```")
		if !found || strings.Count(statements, "'customer-17'") != 3 {
			t.Fatalf("found no statements in:\n%s", statements)
		}
		s := start(t, driver, source)
		sc := s.connect("before")
		publish(t, sc, orders,
			event(t, "keep", "First"),
			event(t, "customer-17", "Named", withID("named"), withData(`{"name":"Jane"}`)),
			event(t, "keep", "Second"),
			event(t, "customer-17", "Moved", withData(`{"to":"Jane's house"}`)),
			event(t, "keep", "Third", withID("third")),
		)
		publish(t, sc, "eventstore.customers", event(t, "keep", "First"), event(t, "customer-17", "Named"))
		s.Stop()

		multiple := source
		if driver == "mysql" {
			multiple += "?multiStatements=true"
		}
		db, err := sql.Open(driver, multiple)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if driver == "sqlite" {
			file, err := os.ReadFile(source)
			if err != nil || strings.Contains(string(file), "Jane") {
				t.Errorf("the file still contains erased data (%v)", err)
			}
		}
		counted := query(t, driver, source, "SELECT name, msgs, bytes = (SELECT SUM(size) FROM Messages WHERE Messages.id = Channels.id), maxseq FROM Channels ORDER BY name")
		for i, line := range counted {
			counted[i] = strings.Replace(line, "|true|", "|1|", 1)
		}
		if want := []string{"eventstore.customers|1|1|2", orders + "|3|1|5"}; !slices.Equal(counted, want) {
			t.Errorf("counters %q, want %q", counted, want)
		}
		// Events are immutable again.
		for _, text := range []string{"DELETE FROM Messages", "UPDATE Messages SET data = NULL"} {
			if _, err := tryQuery(driver, source, text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
				t.Errorf("%s: error %v", text, err)
			}
		}

		s.Restart()
		sc = s.connect("after")
		// Sequences are not reused, an event_id is, and versions start at 1 again.
		publish(t, sc, "eventstore.customers", event(t, "keep", "Second", withVersion(2)))
		publish(t, sc, orders,
			event(t, "keep", "Third", withID("third")), // stored already
			event(t, "keep", "Fourth", withVersion(4)),
			event(t, "customer-17", "Named", withID("named"), withVersion(1), withData(`{"name":"Jane"}`)))
		for channel, want := range map[string][]uint64{orders: {1, 3, 5, 6, 7}, "eventstore.customers": {1, 3}} {
			_, in := subscribe(t, sc, channel, stan.DeliverAllAvailable(), stan.MaxInflight(1))
			var got []uint64
			for range want {
				m := in.next(t)
				got = append(got, m.Sequence)
				var ev eventstorev1.Event
				if err := proto.Unmarshal(m.Data, &ev); err != nil || m.Sequence < 6 && ev.AggregateId != "keep" {
					t.Errorf("message %d of %s has aggregate %s (%v)", m.Sequence, channel, ev.AggregateId, err)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s delivers %v, want %v", channel, got, want)
			}
			// A start position in a gap finds the next event.
			if channel == orders {
				_, hole := subscribe(t, sc, channel, stan.StartAtSequence(2))
				if m := hole.next(t); m.Sequence != 3 {
					t.Errorf("start at an erased sequence: received %d", m.Sequence)
				}
			}
		}
	})
}

// TestReplaceGuard: REPLACE overwrites no event. Triggers of the database prevent it; on SQLite, the trigger that
// docs/decisions/2026-11-21-sqlite-replace.md offers. The server still recognizes duplicates.
func TestReplaceGuard(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/decisions/2026-11-21-sqlite-replace.md")
	if err != nil {
		t.Fatal(err)
	}
	_, trigger, _ := strings.Cut(string(page), "```sql\n")
	trigger, _, _ = strings.Cut(trigger, "```")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		if driver == "sqlite" {
			query(t, driver, source, trigger)
		}
		sc := s.connect("client")
		one := event(t, "A", "First", withID("one"), withVersion(1))
		publish(t, sc, orders, one, event(t, "A", "Second", withID("two")))

		const columns = "(id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type) "
		verb, end := "INSERT OR REPLACE INTO Messages ", ""
		switch driver {
		case "mysql":
			verb = "REPLACE INTO Messages "
		case "postgres":
			verb, end = "INSERT INTO Messages ", " ON CONFLICT (id, seq) DO UPDATE SET event_type = 'Forged'"
		}
		forged := []string{columns + "VALUES (1, 1, 1, 1, '', NULL, '', 'B', 1, 'Forged')"} // a taken sequence
		if driver != "postgres" {
			forged = append(forged,
				columns+"VALUES (1, 7, 1, 1, '', 'one', '', 'B', 1, 'Forged')",     // a taken event_id
				columns+"VALUES (1, 7, 1, 1, '', NULL, 'order', 'A', 2, 'Forged')") // a taken version
		}
		if driver == "sqlite" {
			forged = append(forged, "(rowid, "+columns[1:]+"VALUES (1, 1, 7, 1, 1, '', NULL, '', 'B', 1, 'Forged')")
		}
		for _, text := range forged {
			if _, err := tryQuery(driver, source, verb+text+end); err == nil || !strings.Contains(err.Error(), "events are immutable") {
				t.Errorf("%s: error %v", verb+text+end, err)
			}
		}
		publish(t, sc, orders, one, event(t, "A", "Second", withID("two")), event(t, "A", "Third", withID("three")), one)
		if err := sc.Publish(orders, event(t, "A", "Other", withID("one"))); err == nil || !strings.Contains(err.Error(), "already stored with different content") {
			t.Errorf("another event with a stored event_id: error %v", err)
		}
		if rows := query(t, driver, source, "SELECT sequence, event_type FROM events ORDER BY sequence"); strings.Join(rows, " ") != "1|First 2|Second 3|Third" {
			t.Errorf("events %v", rows)
		}
	})
}
