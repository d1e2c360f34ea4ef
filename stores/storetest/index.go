package storetest

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// hostilePath is a path whose text must not end a literal or a name.
const hostilePath = `$."it's; DROP TABLE Messages; -- $1 ? %s"`

// indexed returns a field of the view events as a query on each database must name it to use its index.
func indexed(o stores.Options, column, path string) string {
	names := strings.Split(strings.TrimPrefix(path, "$."), ".")
	switch o.Driver {
	case "postgres":
		last := len(names) - 1
		text := column
		for i, name := range names {
			text += map[bool]string{true: "->>", false: "->"}[i == last] + "'" + name + "'"
		}
		return text
	case "mysql":
		return column + "_" + strings.Join(names, "_")
	}
	return fmt.Sprintf("json_extract(%s, '%s')", column, path)
}

// queryPlan returns the plan of a query, after the database has analyzed its tables.
func queryPlan(t *testing.T, o stores.Options, text string) string {
	t.Helper()
	exec(t, raw(t, o), map[string]string{"sqlite": "ANALYZE", "postgres": "ANALYZE", "mysql": "ANALYZE TABLE Messages"}[o.Driver])
	return rowsText(t, o, map[string]string{"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN ", "mysql": "EXPLAIN "}[o.Driver]+text)
}

// ourIndexes returns the names of the indexes that options created, in order.
func ourIndexes(t *testing.T, o stores.Options) []string {
	t.Helper()
	text := map[string]string{
		"postgres": "SELECT COALESCE(string_agg(indexname, ' ' ORDER BY indexname), '') FROM pg_indexes WHERE tablename = 'messages' AND indexname LIKE 'eventstore%'",
		"mysql":    "SELECT COALESCE(GROUP_CONCAT(DISTINCT index_name ORDER BY index_name SEPARATOR ' '), '') FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'Messages' AND index_name LIKE 'eventstore%'",
		"sqlite":   "SELECT COALESCE(group_concat(name, ' '), '') FROM (SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'eventstore%' ORDER BY name)",
	}[o.Driver]
	return strings.Fields(queryText(t, raw(t, o), text))
}

func apply(t *testing.T, s *stores.Store) {
	t.Helper()
	if err := s.ApplyIndexes(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// withIndexes opens the store again with other paths and a separate log.
func withIndexes(t *testing.T, s *stores.Store, o stores.Options, log *bytes.Buffer, data, metadata []string) *stores.Store {
	t.Helper()
	log.Reset()
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	o.IndexEventData, o.IndexMetadata = data, metadata
	s, _ = restart(t, s, o)
	apply(t, s)
	return s
}

func testIndexedFields(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	events := func(from, to int) {
		t.Helper()
		var batch []stores.Append
		for i := from; i < to; i++ {
			batch = append(batch, event{
				aggregate: fmt.Sprint("a", i), data: fmt.Sprintf(`{"customer_id":"c%d","order":{"total":%d,"no":%d},"it's; DROP TABLE Messages; -- $1 ? %%s":"h%d"}`, i, i%7, i, i),
				correlation: fmt.Sprint("k", i),
			}.on(t, c))
		}
		for i, r := range appendAll(t, s, batch...) {
			if r.Err != nil {
				t.Fatal(i, r.Err)
			}
		}
	}
	events(0, 2000)
	before := ourIndexes(t, o)
	if len(before) > 0 {
		t.Fatalf("unexpected indexes: %v", before)
	}
	var log bytes.Buffer
	paths := []string{"$.customer_id", "$.order.no", hostilePath}
	s = withIndexes(t, s, o, &log, paths, []string{"$.correlation_id"})
	if got := ourIndexes(t, o); len(got) != 4 {
		t.Fatalf("indexes %v, log %s", got, &log)
	}
	if got := log.String(); !strings.Contains(got, "create index on event_data $.customer_id") {
		t.Errorf("log: %s", got)
	}
	c = s.Channel("eventstore.c")
	events(2000, 2100)
	db := raw(t, o)
	for _, test := range []struct{ column, path, value string }{
		{"event_data", "$.customer_id", "'c2077'"},
		{"event_data", "$.order.no", map[bool]string{true: "77", false: "'77'"}[o.Driver == "sqlite"]},
		{"metadata", "$.correlation_id", "'k77'"},
	} {
		text := fmt.Sprintf("SELECT sequence FROM events WHERE %s = %s", indexed(o, test.column, test.path), test.value)
		want := map[bool]string{true: "2078", false: "78"}[strings.Contains(test.value, "2077")]
		if got := queryText(t, db, text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if plan := queryPlan(t, o, text); !strings.Contains(plan, "eventstore_idx_"+test.column) {
			t.Errorf("%s: plan\n%s", text, plan)
		}
	}

	// The same options again change nothing.
	log.Reset()
	apply(t, s)
	s = withIndexes(t, s, o, &log, paths, []string{"$.correlation_id"})
	if got := log.String(); strings.Contains(got, "changing indexes") {
		t.Errorf("log: %s", got)
	}

	// Values too long for an index entry, and documents without the value, are stored all the same.
	c = s.Channel("eventstore.c")
	var long strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&long, "%x", i*i*7919%65521)
	}
	for i, data := range []string{`{"customer_id":"` + long.String() + `"}`, `{"customer_id":{"a":[1]}}`, `{"customer_id":null}`, `{"customer_id":1e300}`,
		`{"customer_id":"\ud83d\ude00"}`, `{"order":"none"}`, `[1,2]`, `"text"`, "\xff\xfe", `{"customer_id":"a","customer_id":"b"}`, `{"customer_id":""}`, `{"customer_id":["a"]}`} {
		if r := appendAll(t, s, event{aggregate: fmt.Sprint("odd", i), data: data}.on(t, c))[0]; r.Err != nil {
			t.Errorf("%.60q: %v", data, r.Err)
		}
	}
	if got := queryText(t, db, fmt.Sprintf("SELECT aggregate_id FROM events WHERE %s = '😀'", indexed(o, "event_data", "$.customer_id"))); got != "odd4" {
		t.Errorf("escaped emoji: %q", got)
	}

	// Events are as immutable as before.
	for _, text := range []string{"UPDATE Messages SET size = 1", "DELETE FROM Messages"} {
		if _, err := db.ExecContext(testContext(t), text); err == nil {
			t.Errorf("%s is not refused", text)
		}
	}
	// Indexes that someone else created are not ours.
	exec(t, db, "CREATE INDEX event_data_mine ON Messages (size)")
	s = withIndexes(t, s, o, &log, []string{"$.customer_id"}, nil)
	if got := ourIndexes(t, o); len(got) != 1 || !strings.HasPrefix(got[0], "eventstore_idx_event_data_customer_id_") {
		t.Errorf("indexes %v", got)
	}
	s = withIndexes(t, s, o, &log, nil, nil)
	if got := ourIndexes(t, o); len(got) != 0 {
		t.Errorf("indexes %v", got)
	}
	exec(t, db, map[bool]string{true: "DROP INDEX event_data_mine ON Messages", false: "DROP INDEX event_data_mine"}[o.Driver == "mysql"])
	if got := queryText(t, db, "SELECT COUNT(*) FROM events"); got != "2112" {
		t.Errorf("%s events", got)
	}
	if o.Driver == "mysql" {
		if got := queryText(t, db, "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN ('Messages', 'events') AND column_name LIKE '%data\\_%'"); got != "0" {
			t.Errorf("%s columns remain", got)
		}
	}

	// If the server must not change the schema, an administrator creates them.
	o.NoMigrate = true
	s = withIndexes(t, s, o, &log, []string{"$.customer_id"}, nil)
	if got := ourIndexes(t, o); len(got) != 0 || !strings.Contains(log.String(), "an administrator must run this") {
		t.Errorf("indexes %v, log %s", got, &log)
	}
}

// testIndexesWhileAppending: messages are stored while indexes are built, and the lease guards the change.
func testIndexesWhileAppending(t *testing.T, o stores.Options) {
	o.IndexEventData = []string{"$.a", "$.b.c", "$.d[0]"}
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			results, err := s.Append(testContext(t), []stores.Append{event{aggregate: "a", data: `{"a":1,"b":{"c":2},"d":[3]}`}.on(t, c)})
			if err != nil || results[0].Err != nil {
				t.Error(err, results)
			}
		}
	}()
	for range 3 {
		apply(t, s)
	}
	close(stop)
	if n := <-done; c.Info().Last != uint64(n) {
		t.Errorf("%d appended, last %d", n, c.Info().Last)
	}
	if got := ourIndexes(t, o); len(got) != 3 {
		t.Errorf("indexes %v", got)
	}

	other, _, err := s.TryLease(testContext(t), "server", stores.Lease{})
	if err != nil || !other {
		t.Fatal(err)
	}
	o.IndexEventData = nil
	second := open(t, o)
	expectError(t, second.ApplyIndexes(testContext(t)), stores.ErrFenced)
	if got := ourIndexes(t, o); len(got) != 3 {
		t.Errorf("a server without the lease changed indexes: %v", got)
	}
}

// testIndexInterrupted: the store completes what an interrupted change left.
func testIndexInterrupted(t *testing.T, o stores.Options) {
	o.IndexEventData = []string{"$.a"}
	s, _ := lead(t, o)
	apply(t, s)
	index := ourIndexes(t, o)[0]
	db := raw(t, o)
	c := channel(t, s, "eventstore.c")
	appendAll(t, s, event{aggregate: "a", data: `{"a":"x"}`}.on(t, c))
	switch o.Driver {
	case "postgres":
		// An interrupted CREATE INDEX CONCURRENTLY leaves this: a unique index cannot be built on equal values.
		appendAll(t, s, event{aggregate: "a", data: `{"a":"x"}`}.on(t, c))
		exec(t, db, "DROP INDEX "+index)
		if _, err := db.ExecContext(testContext(t), "CREATE UNIQUE INDEX CONCURRENTLY "+index+" ON Messages ((event_data->>'a'))"); err == nil {
			t.Fatal("built a unique index on equal values")
		}
		apply(t, s)
		if got := queryText(t, db, "SELECT indisvalid AND NOT indisunique FROM pg_index WHERE indexrelid = '"+index+"'::regclass"); got != "true" {
			t.Errorf("valid: %s", got)
		}
	case "mysql":
		exec(t, db, "ALTER TABLE Messages DROP INDEX "+index) // the column exists, the index does not yet
		apply(t, s)
		// The same name for another path, as after a change of the configuration.
		o.IndexEventData = []string{"$.b.c"}
		s, _ = restart(t, s, o)
		apply(t, s)
		o.IndexEventData = []string{"$.b_c"}
		s, _ = restart(t, s, o)
		apply(t, s)
		appendAll(t, s, event{aggregate: "b", data: `{"b_c":"y"}`}.on(t, s.Channel("eventstore.c")))
		if got := queryText(t, db, "SELECT aggregate_id FROM events WHERE event_data_b_c = 'y'"); got != "b" {
			t.Errorf("aggregate %q", got)
		}
	}
	if got := ourIndexes(t, o); len(got) != 1 {
		t.Errorf("indexes %v", got)
	}
}

// testIndexFenced: a server that loses its lease while it builds the last index reports it.
func testIndexFenced(t *testing.T, o stores.Options) {
	last := map[string]string{"postgres": "ANALYZE Messages", "mysql": "CREATE OR REPLACE"}[o.Driver]
	if last == "" {
		return // SQLite builds indexes in transactions behind the fence
	}
	var faults Faults
	o.WrapConnector = faults.Wrap
	o.IndexEventData = []string{"$.a"}
	s, _ := lead(t, o)
	db := raw(t, o)
	faults.Before(func(text string) {
		if strings.HasPrefix(text, last) {
			exec(t, db, "UPDATE StoreLock SET id = 'another'")
		}
	})
	expectError(t, s.ApplyIndexes(testContext(t)), stores.ErrFenced)
	expectError(t, s.RenewLease(testContext(t)), stores.ErrFenced)
}

// testDocumentIndex: only PostgreSQL can index whole documents.
func testDocumentIndex(t *testing.T, o stores.Options) {
	o.IndexEventData, o.IndexMetadata = []string{"document", "$.a"}, []string{"document"}
	if o.Driver != "postgres" {
		_, err := stores.Open(testContext(t), o)
		if err == nil || !strings.Contains(err.Error(), `index_event_data: "document": only PostgreSQL`) {
			t.Error(err)
		}
		return
	}
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	var batch []stores.Append
	for i := range 3000 {
		batch = append(batch, event{aggregate: fmt.Sprint(i), data: fmt.Sprintf(`{"lines":[{"sku":"s%d"}]}`, i)}.on(t, c))
	}
	appendAll(t, s, batch...)
	apply(t, s)
	text := `SELECT sequence FROM events WHERE event_data @> '{"lines":[{"sku":"s77"}]}'`
	db := raw(t, o)
	if got := queryText(t, db, text); got != "78" {
		t.Errorf("found %s", got)
	}
	if plan := queryPlan(t, o, text); !strings.Contains(plan, "eventstore_idx_event_data_document") {
		t.Errorf("plan\n%s", plan)
	}
	if got := ourIndexes(t, o); len(got) != 3 || !slices.Contains(got, "eventstore_idx_metadata_document") {
		t.Errorf("indexes %v", got)
	}
}
