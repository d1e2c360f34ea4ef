package storetest

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

func extract(t *testing.T, payload []byte) proto.Event {
	t.Helper()
	e, err := proto.Extract(payload)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// testIdentifiers: identifiers that some collation considers equal are different in the unique indexes, in memory and
// in queries.
func testIdentifiers(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	names := []string{
		"order", "Order", "ORDER", "order ", " order", "order  ", "ordér", "orde\u0301r", "straße", "strasse",
		"注文", "\U0001F4E6", "\U0001F4E7", "a\tb", "a'b", `a"b`, `a\b`, `\`, "a%b", "null", "{}",
		strings.Repeat("x", proto.MaxIdentifier), strings.Repeat("é", proto.MaxIdentifier/2),
	}
	var batch []stores.Append
	for _, name := range names {
		batch = append(batch, event{id: name, aggregate: name, aggregateType: name, typ: name, version: 1}.on(t, c))
	}
	for i, r := range appendAll(t, s, batch...) {
		if outcome(r) != fmt.Sprint(i+1) {
			t.Fatalf("%q: %s", names[i], outcome(r))
		}
	}
	s, _ = restart(t, s, o)
	c = s.Channel("eventstore.c")
	batch = batch[:0]
	for _, name := range names {
		batch = append(batch,
			event{id: name, aggregate: name, aggregateType: name, typ: name}.on(t, c),
			event{aggregate: name, aggregateType: name, version: 2}.on(t, c))
	}
	for i, r := range appendAll(t, s, batch...) {
		want := fmt.Sprint("dup ", i/2+1)
		if i%2 == 1 {
			want = fmt.Sprint(len(names) + i/2 + 1)
		}
		if outcome(r) != want {
			t.Fatalf("%q: %s, want %s", names[i/2], outcome(r), want)
		}
	}
	db := raw(t, o)
	for _, name := range []string{"order", "Order", "order ", "ordér", "\U0001F4E6"} {
		for _, column := range []string{"event_id", "aggregate_id", "aggregate_type", "event_type"} {
			want := map[string]string{"aggregate_id": "2", "aggregate_type": "2"}[column]
			if want == "" {
				want = "1"
			}
			if got := queryText(t, db, fmt.Sprintf("SELECT COUNT(*) FROM events WHERE %s = '%s'", column, name)); got != want {
				t.Errorf("%s events with %s = %q, want %s", got, column, name, want)
			}
		}
	}
}

// testDocuments: event_data is the published JSON if the database can hold it, and otherwise a JSON string of base64.
// No payload harms its neighbours.
func testDocuments(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	documents := []string{
		`{"a":1}`, `[]`, `"text"`, `null`, `true`, `0`, `-1.5e3`, `{"":{"":[]}}`, `{"a":1,"a":2}`, `{"é":"\u00e9\ud83d\ude00"}`,
		`{"a":"\u0000"}`, `"\ud800"`, `1e400`, `1` + strings.Repeat("0", 400), "\xff\x00", `{`, `{"a":1} `, `nan`, "\"\\u007f\x7f\"",
		deep(20), deep(31), deep(32), deep(99), deep(100), deep(101), deep(999), deep(1001), deep(20000),
		`0.` + strings.Repeat("1", 500), `"` + strings.Repeat("x", 70000) + `"`, `1e-400`, `12345678901234567890123`, "'", `"'\\"`,
		`{"a":` + strings.Repeat(`{"a":`, 29) + `1` + strings.Repeat(`}`, 30),
	}
	var batch []stores.Append
	for _, document := range documents {
		batch = append(batch, event{aggregate: "a", data: document}.on(t, c))
	}
	for i, r := range appendAll(t, s, batch...) {
		if outcome(r) != fmt.Sprint(i+1) {
			t.Errorf("%.40q: %s", documents[i], outcome(r))
		}
	}
	db := raw(t, o)
	for i, document := range documents {
		got := queryText(t, db, fmt.Sprintf("SELECT event_data FROM events WHERE sequence = %d", i+1))
		if !json.Valid([]byte(got)) {
			t.Errorf("%.40q: event_data is not JSON: %.40q", document, got)
		}
	}
	if got := queryText(t, db, "SELECT event_data FROM events WHERE sequence = 15"); got != `"/wA="` {
		t.Errorf("base64: %s", got)
	}
	for i, m := range readAll(t, s, c) {
		if got := extract(t, m.Data).Data; string(got) != documents[i] {
			t.Errorf("event %d: subscribers get %.40q", i+1, got)
		}
	}

	// Columns that an event leaves empty.
	bare := stores.Append{Channel: c, Payload: []byte("x"), Event: &proto.Event{Type: "T", AggregateID: "bare"}}
	with := stores.Append{Channel: c, Payload: []byte("x"), Event: &proto.Event{ID: "i", Type: "T", AggregateID: "with", Metadata: []byte(`{"user":"me"}`)}}
	for _, r := range appendAll(t, s, bare, with) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	for text, want := range map[string]string{
		"SELECT event_data FROM events WHERE aggregate_id = 'bare'":     "NULL",
		"SELECT metadata FROM events WHERE aggregate_id = 'bare'":       "NULL",
		"SELECT event_id FROM events WHERE aggregate_id = 'bare'":       "NULL",
		"SELECT aggregate_type FROM events WHERE aggregate_id = 'bare'": "",
	} {
		if got := queryText(t, db, text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if got := strings.ReplaceAll(queryText(t, db, "SELECT metadata FROM events WHERE aggregate_id = 'with'"), " ", ""); got != `{"user":"me"}` {
		t.Errorf("metadata: %s", got)
	}
}

func testImmutable(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	events, plain := channel(t, s, "eventstore.c"), channel(t, s, "plain")
	appendAll(t, s, event{aggregate: "a"}.on(t, events), stores.Append{Channel: plain, Payload: []byte("x")})
	db := raw(t, o)
	refused := []string{
		"UPDATE Messages SET event_data = NULL WHERE event_type IS NOT NULL",
		"UPDATE Messages SET event_type = NULL WHERE aggregate_id = 'a'",
		"UPDATE Messages SET size = 1",
		"DELETE FROM Messages WHERE aggregate_id = 'a'",
		"DELETE FROM Messages",
	}
	if o.Driver == "postgres" {
		refused = append(refused, "TRUNCATE Messages", "TRUNCATE Messages, Channels")
	}
	for _, text := range refused {
		if _, err := db.ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if n := len(readAll(t, s, events)); n != 1 {
		t.Errorf("%d events", n)
	}
	// Plain messages are not events: they can be changed, and deleted when they expire.
	exec(t, db, "UPDATE Messages SET timestamp = 1 WHERE event_type IS NULL")
	exec(t, db, "DELETE FROM Messages WHERE event_type IS NULL")
	if got := queryText(t, db, "SELECT COUNT(*) FROM Messages"); got != "1" {
		t.Errorf("%s messages", got)
	}
}

// testIndexes: queries by aggregate and by type through the view are index look-ups.
func testIndexes(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	for i := range 4 {
		var batch []stores.Append
		for j := range 500 {
			batch = append(batch, event{aggregate: fmt.Sprint("a", 500*i+j), typ: fmt.Sprint("T", j), id: fmt.Sprint(i, "/", j)}.on(t, c))
		}
		appendAll(t, s, batch...)
	}
	db := raw(t, o)
	explain := map[string]string{"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN ", "mysql": "EXPLAIN "}[o.Driver]
	exec(t, db, map[string]string{"sqlite": "ANALYZE", "postgres": "ANALYZE", "mysql": "ANALYZE TABLE Messages"}[o.Driver])
	ofType := "idx_msgstypetime"
	if o.Driver == "postgres" {
		ofType = "idx_msgstypeposition"
	}
	for text, index := range map[string]string{
		"SELECT * FROM events WHERE aggregate_id = 'a77' ORDER BY event_version":                         "idx_msgsaggregate",
		"SELECT * FROM events WHERE aggregate_id = 'a77' AND aggregate_type = '' ORDER BY event_version": "idx_msgsaggregate",
		"SELECT * FROM events WHERE event_type = 'T77'":                                                  ofType,
		"SELECT * FROM events WHERE event_id = '1/77'":                                                   "idx_msgseventid",
	} {
		if plan := strings.ToLower(rowsText(t, o, explain+text)); !strings.Contains(plan, index) {
			t.Errorf("%s does not use %s:\n%s", text, index, plan)
		}
	}
	if got := queryText(t, db, "SELECT channel FROM events WHERE aggregate_id = 'a77'"); got != "eventstore.c" {
		t.Errorf("channel %q", got)
	}
}

// rowsText returns the rows of a query as text.
func rowsText(t *testing.T, o stores.Options, text string) string {
	t.Helper()
	rows, err := raw(t, o).QueryContext(testContext(t), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new([]byte)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for _, value := range values {
			fmt.Fprintf(&all, "%s ", *value.(*[]byte))
		}
		all.WriteByte('\n')
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// testAggregatesInParts: a part of an aggregate says whether there are others, so that the last one is not asked for again.
func testAggregatesInParts(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	appendAll(t, s, slices.Repeat([]stores.Append{event{aggregate: "A"}.on(t, c)}, 5)...)
	a := stores.Aggregate{Channel: c, ID: "A"}
	for _, it := range []struct {
		from      uint64
		backward  bool
		max, size int
		versions  string
		more      bool
	}{
		{1, false, 10, 1 << 20, "[1 2 3 4 5]", false},
		{4, false, 3, 1 << 20, "[4 5]", false},
		{1, false, 3, 1 << 20, "[1 2 3]", true},
		{1, false, 10, 1, "[1]", true},
		{6, false, 10, 1 << 20, "[]", false},
		{math.MaxInt64, true, 10, 1 << 20, "[5 4 3 2 1]", false},
		{math.MaxInt64, true, 1, 1 << 20, "[5]", true},
		{2, true, 10, 1, "[2]", true},
		{0, true, 10, 1 << 20, "[]", false},
	} {
		found, more, err := s.ReadAggregate(testContext(t), a, it.from, it.backward, it.max, it.size)
		if err != nil {
			t.Fatal(err)
		}
		versions := []uint64{}
		for _, m := range found {
			versions = append(versions, m.Version)
		}
		if fmt.Sprint(versions) != it.versions || more != it.more {
			t.Errorf("%+v: %v, more %v", it, versions, more)
		}
	}
}
