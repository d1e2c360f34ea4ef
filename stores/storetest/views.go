package storetest

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// rowsOf returns the rows of a query, the columns separated by "|".
func rowsOf(t *testing.T, db *sql.DB, text string) []string {
	t.Helper()
	rows, err := db.QueryContext(testContext(t), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for rows.Next() {
		values, to := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		var texts []string
		for _, v := range values {
			if !v.Valid {
				v.String = "NULL"
			}
			texts = append(texts, v.String)
		}
		all = append(all, strings.Join(texts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return all
}

func expectRows(t *testing.T, db *sql.DB, text string, want ...string) {
	t.Helper()
	if got := rowsOf(t, db, text); !slices.Equal(got, want) {
		t.Errorf("%s\ngot\n%s\nwant\n%s", text, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// testViews: SQL shows what is left of a consumer's work as the metrics do, its parked messages and the audit.
func testViews(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	events, plain := channel(t, s, "eventstore.c"), channel(t, s, "plain")
	for i := range 3 {
		appendAll(t, s, event{aggregate: "a", id: fmt.Sprint("id", i)}.on(t, events))
	}
	for range 5 {
		appendAll(t, s, stores.Append{Channel: plain, Payload: []byte("x")})
	}
	db := raw(t, o)
	exec(t, db, "UPDATE Messages SET timestamp = 1000000000 * seq WHERE event_type IS NULL")
	if err := s.Prune(testContext(t), plain, 1); err != nil {
		t.Fatal(err)
	}

	subscribe := func(c *stores.Channel, id uint64, client, queue, durable string) stores.SubscriptionRow {
		if got := s.NewSubscriptionID(); got != id {
			t.Fatalf("ID %d", got)
		}
		return stores.SubscriptionRow{Channel: c, State: &spb.SubState{ID: id, ClientID: client, QGroup: queue, DurableName: durable, IsDurable: durable != ""}}
	}
	position := func(c *stores.Channel, id, last uint64, runs ...stores.Run) stores.Position {
		p := stores.Position{Channel: c, Consumer: id, Row: &stores.PositionRow{LastSent: last, Members: []uint64{id}}}
		if len(runs) > 0 {
			p.Parts = map[uint64][]stores.Run{0: runs}
		}
		return p
	}
	queue := position(plain, 2, 4, stores.Run{Subscription: 0, First: 2, Last: 3}, stores.Run{Subscription: 3, First: 4, Last: 4})
	queue.Row.Members = []uint64{2, 3}
	changes := stores.ConsumerChanges{
		Put: []stores.SubscriptionRow{
			subscribe(plain, 1, "me", "", "at the end"), subscribe(plain, 2, "me", "d:q", "d"), subscribe(plain, 3, "you", "d:q", "d"),
			subscribe(plain, 4, "me", "", "new"), subscribe(events, 5, "me", "", "Größe"), subscribe(nil, 6, "me", "q", ""), subscribe(plain, 7, "me", "", ""),
		},
		Positions: []stores.Position{
			position(plain, 1, 5), queue, position(plain, 4, 0),
			position(events, 5, 2, stores.Run{Subscription: 5, First: 1, Last: 1}), position(nil, 6, 1), position(plain, 7, 0),
		},
		Wildcards: []stores.Wildcard{{Consumer: 6, Pattern: "eventstore.>"}},
	}
	durable, pattern, gone := named(s, "eventstore.c", "me", "Größe"), named(s, "eventstore.>", "", "q"), named(s, "plain", "me", "gone")
	durable.Settings = []byte(`{"paused":true}`)
	changes.Named = []stores.NamedConsumer{durable, pattern, gone}
	changes.Park = []stores.ParkedMessage{
		{Consumer: durable.ID, Seq: 1, Deliveries: 3, First: 1_700_000_000_000_001_999, Last: 1_700_000_001_500_000_000, Key: "a", Reason: "poison"},
		{Consumer: durable.ID, Seq: 99}, {Consumer: pattern.ID, Seq: 2}, {Consumer: gone.ID, Seq: 4},
	}
	changes.Audit = []stores.AuditEntry{{ID: s.NewAuditID(), Time: 1_700_000_000_000_001_999, Principal: "jörg", Action: "pause"}}
	saveConsumers(t, s, changes)

	const status = "SELECT channel, client, name, kind, settings, position, lag_messages, unacknowledged, waiting, parked, subscriptions FROM consumer_status ORDER BY channel, name"
	want := []string{
		`eventstore.>||q|queue group|{}|1|2|0|0|1|1`,
		`eventstore.c|me|Größe|durable|{"paused":true}|2|2|1|0|2|1`,
		`plain|me|at the end|durable|{}|5|0|0|0|0|1`,
		`plain||d:q|durable queue group|{}|4|4|3|2|0|2`,
		`plain|me|gone|NULL|{}|NULL|NULL|NULL|NULL|1|0`,
		`plain|me|new|durable|{}|0|4|0|0|0|1`,
	}
	expectRows(t, db, status, want...)
	// The oldest outstanding message of each is 2, 2 and none.
	expectRows(t, db, "SELECT name FROM consumer_status WHERE lag_seconds > 1000000000 ORDER BY name", "d:q", "new")
	expectRows(t, db, "SELECT name FROM consumer_status WHERE lag_seconds < 100 AND lag_seconds > 0 ORDER BY name", "Größe", "q")
	expectRows(t, db, "SELECT name FROM consumer_status WHERE lag_seconds = 0", "at the end")
	expectRows(t, db, "SELECT channel, client, name, sequence, deliveries, ordering_key, reason, event_id, event_type, aggregate_type, aggregate_id, position FROM parked_messages ORDER BY channel, sequence",
		"eventstore.>||q|2|0|||id1|OrderCreated||a|2", "eventstore.c|me|Größe|1|3|a|poison|id0|OrderCreated||a|1", "eventstore.c|me|Größe|99|0|||NULL|NULL|NULL|NULL|NULL", "plain|me|gone|4|0|||NULL|NULL|NULL|NULL|NULL")
	utc := map[string]string{"postgres": "to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.USZ')", "mysql": "DATE_FORMAT(%s, '%%Y-%%m-%%dT%%H:%%i:%%s.%%fZ')", "sqlite": "%s"}[o.Driver]
	expectRows(t, db, "SELECT "+fmt.Sprintf(utc, "first_delivery")+", "+fmt.Sprintf(utc, "last_delivery")+" FROM parked_messages WHERE name = 'Größe' ORDER BY sequence",
		"2023-11-14T22:13:20.000001Z|2023-11-14T22:13:21.500000Z", "NULL|NULL")
	expectRows(t, db, "SELECT id, "+fmt.Sprintf(utc, "time")+", principal, address, action, target, detail FROM audit_log", "1|2023-11-14T22:13:20.000001Z|jörg||pause||")

	// Damaged rows spoil no others, and names come back after a program that does not know them.
	exec(t, db, "UPDATE ConsumersPending SET pending = '[[2,' WHERE consumer = 2")
	exec(t, db, "UPDATE ConsumersPending SET pending = '[[5,3,1],7,[5,2,2]]' WHERE consumer = 5")
	exec(t, db, "UPDATE Consumers SET members = 'x' WHERE consumer = 6")
	exec(t, db, "UPDATE Subscriptions SET client = NULL, name = NULL, kind = NULL WHERE subid IN (2, 4)")
	got := strings.Join(rowsOf(t, db, status), "\n") // no query fails
	ended := []string{"eventstore.>||q|NULL|{}|NULL|NULL|NULL|NULL|1|0", want[4]}
	if !strings.Contains(got, `eventstore.c|me|Größe|durable|{"paused":true}|2|`) {
		t.Errorf("of the damaged durable:\n%s", got)
	}
	restart(t, s, o)
	expectRows(t, db, status+" LIMIT 1", ended[0])
	expectRows(t, db, strings.Replace(status, "ORDER", "WHERE channel = 'plain' ORDER", 1), want[2], "plain||d:q|durable queue group|{}|4|1|0|0|0|2", ended[1], want[5])
}
