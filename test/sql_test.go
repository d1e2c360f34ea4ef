package test

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// sqlEvents is the number of events for the statements of docs/reference/sql.md. The default is low, because the race detector
// makes SQLite's indexes slow. make test-sql-million uses a million events and a server without the race detector.
var sqlEvents = flag.Int("sql_events", minSQLEvents, "number of events for the statements of docs/reference/sql.md")

// minSQLEvents is enough to include everything that the statements name.
const minSQLEvents = 20_000

// sqlPage is the content of docs/reference/sql.md.
type sqlPage struct {
	configuration string
	statements    []sqlStatement
}

type sqlStatement struct {
	heading string
	drivers []string // empty: all
	text    string
}

var pageDrivers = map[string][]string{
	"-- PostgreSQL":     {"postgres"},
	"-- MySQL, MariaDB": {"mysql"},
	"-- SQLite":         {"sqlite"},
}

func newSQLPage(t *testing.T, blocks []*page.Block) sqlPage {
	t.Helper()
	p := sqlPage{configuration: page.Find(t, blocks, "conf", "").Text()}
	for _, b := range blocks {
		if b.Language != "sql" {
			continue
		}
		text := strings.TrimSuffix(b.Text(), "\n")
		first, _, _ := strings.Cut(text, "\n")
		if strings.HasPrefix(first, "--") && pageDrivers[first] == nil {
			t.Errorf("%s: unknown database %s", b.Place, first)
		}
		p.statements = append(p.statements, sqlStatement{b.Heading, pageDrivers[first], text})
	}
	return p
}

// orderFact is an event of the data set, numbered from 1. Each order has four events, 8.64 seconds apart.
type orderFact struct{ number int }

var orderTypes = []string{"OrderCreated", "OrderPaid", "OrderPacked", "OrderShipped"}

func (f orderFact) order() int   { return (f.number - 1) / 4 }
func (f orderFact) version() int { return (f.number-1)%4 + 1 }
func (f orderFact) kind() string { return orderTypes[f.version()-1] }
func (f orderFact) time() time.Time {
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(f.number) * 8640 * time.Millisecond)
}
func (f orderFact) data() string {
	switch f.version() {
	case 1:
		return fmt.Sprintf(`{"address":{"city":"City %d"},"customer_id":"customer-%d","lines":[{"sku":"sku-%d"}],"status":"created"}`,
			f.order()%1000, f.order()%5000, f.order())
	case 2:
		return `{"method":"card","status":"paid"}`
	case 3:
		return `{"boxes":2,"status":"packed"}`
	}
	return `{"status":"shipped"}`
}

// insertOrders are the statements per database that insert facts; the two %d are the first and the last number.
var insertOrders = map[string]string{
	"postgres": `INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata)
SELECT 1000, i, 1767225600000000000 + i * 8640000000::bigint, 100, decode(repeat('00', 100), 'hex'), 'evt-' || i, 'order', 'order-' || k, v,
    (ARRAY['OrderCreated', 'OrderPaid', 'OrderPacked', 'OrderShipped'])[v],
    (CASE v WHEN 1 THEN '{"status":"created","customer_id":"customer-' || k %% 5000 || '","address":{"city":"City ' || k %% 1000 || '"},"lines":[{"sku":"sku-' || k || '"}]}'
        WHEN 2 THEN '{"status":"paid","method":"card"}' WHEN 3 THEN '{"status":"packed","boxes":2}' ELSE '{"status":"shipped"}' END)::jsonb,
    jsonb_build_object('correlation_id', 'request-' || (i - 1) / 2) || CASE WHEN i %% 8 = 0 THEN '{"schema_version":"2"}' ELSE '{}' END::jsonb
FROM (SELECT i, (i - 1) / 4 AS k, (i - 1) %% 4 + 1 AS v FROM generate_series(%d, %d) AS i) AS n`,
	"mysql": `INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata)
WITH RECURSIVE n (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d)
SELECT 1000, i, 1767225600000000000 + i * 8640000000, 100, REPEAT(x'00', 100), CONCAT('evt-', i), 'order', CONCAT('order-', (i - 1) DIV 4), (i - 1) %% 4 + 1,
    ELT((i - 1) %% 4 + 1, 'OrderCreated', 'OrderPaid', 'OrderPacked', 'OrderShipped'),
    CASE (i - 1) %% 4 WHEN 0 THEN CONCAT('{"status":"created","customer_id":"customer-', (i - 1) DIV 4 %% 5000, '","address":{"city":"City ', (i - 1) DIV 4 %% 1000, '"},"lines":[{"sku":"sku-', (i - 1) DIV 4, '"}]}')
        WHEN 1 THEN '{"status":"paid","method":"card"}' WHEN 2 THEN '{"status":"packed","boxes":2}' ELSE '{"status":"shipped"}' END,
    CASE i %% 8 WHEN 0 THEN JSON_OBJECT('correlation_id', CONCAT('request-', (i - 1) DIV 2), 'schema_version', '2')
        ELSE JSON_OBJECT('correlation_id', CONCAT('request-', (i - 1) DIV 2)) END
FROM n`,
	"sqlite": `WITH RECURSIVE n (i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata)
SELECT 1000, i, 1767225600000000000 + i * 8640000000, 100, zeroblob(100), 'evt-' || i, 'order', 'order-' || ((i - 1) / 4), (i - 1) %% 4 + 1,
    CASE (i - 1) %% 4 WHEN 0 THEN 'OrderCreated' WHEN 1 THEN 'OrderPaid' WHEN 2 THEN 'OrderPacked' ELSE 'OrderShipped' END,
    CASE (i - 1) %% 4 WHEN 0 THEN '{"status":"created","customer_id":"customer-' || ((i - 1) / 4 %% 5000) || '","address":{"city":"City ' || ((i - 1) / 4 %% 1000) || '"},"lines":[{"sku":"sku-' || ((i - 1) / 4) || '"}]}'
        WHEN 1 THEN '{"status":"paid","method":"card"}' WHEN 2 THEN '{"status":"packed","boxes":2}' ELSE '{"status":"shipped"}' END,
    '{"correlation_id":"request-' || ((i - 1) / 2) || CASE i %% 8 WHEN 0 THEN '","schema_version":"2"}' ELSE '"}' END
FROM n`,
}

// insertChunk is the number of facts per statement.
const insertChunk = 50_000

func fillOrders(t *testing.T, db *sql.DB, driver string, n int) {
	t.Helper()
	start := time.Now()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	texts := []string{fmt.Sprintf("INSERT INTO Channels (id, name, maxseq, msgs, bytes) VALUES (1000, 'eventstore.orders', %d, %d, %d)", n, n, 100*n)}
	if driver == "mysql" {
		texts = append(texts, fmt.Sprintf("SET SESSION /*!80003 cte_max_recursion_depth */ /*M! max_recursive_iterations */ = %d", insertChunk))
	}
	for from := 1; from <= n; from += insertChunk {
		texts = append(texts, fmt.Sprintf(insertOrders[driver], from, min(from+insertChunk-1, n)))
	}
	switch driver {
	case "postgres":
		texts = append(texts, "ANALYZE") // the database does this by itself later
	case "mysql":
		texts = append(texts, "ANALYZE TABLE Messages")
	}
	for _, text := range texts {
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%.100s: %v", text, err)
		}
	}
	t.Logf("%d events inserted in %v", n, time.Since(start).Round(time.Millisecond))
}

// expectedRows are the expected answers by heading, computed with a filter over all facts.
var expectedRows = map[string]func(n int) []string{
	"History of an aggregate": func(n int) []string {
		return showFacts(n, ofOrder(4711), func(f orderFact) []any { return []any{f.version(), f.kind(), f.time(), f.data()} })
	},
	"Last version of an aggregate": func(int) []string { return []string{"4|OrderShipped"} },
	"State of an aggregate at a time": func(n int) []string {
		return showFacts(n, func(f orderFact) bool { return f.order() == 4711 && f.time().Before(clock(2, 21, 14)) },
			func(f orderFact) []any { return []any{f.version(), f.kind(), f.data()} })
	},
	"State of an aggregate as one document": func(int) []string {
		return []string{`{"address":{"city":"City 711"},"boxes":2,"customer_id":"customer-4711","lines":[{"sku":"sku-4711"}],"method":"card","status":"packed"}`}
	},
	"An event by its identifier": func(int) []string { return []string{"eventstore.orders|18845|OrderCreated|order-4711"} },
	"Events of a type between two dates": func(n int) []string {
		return showFacts(n, func(f orderFact) bool { return f.version() == 1 && f.between(clock(2, 12, 0), clock(2, 12, 5)) },
			func(f orderFact) []any { return []any{f.time(), f.aggregate(), f.data()} })
	},
	"Everything that happened between two dates": func(n int) []string {
		return showFacts(n, func(f orderFact) bool { return f.between(clock(2, 12, 0), clock(2, 12, 1)) },
			func(f orderFact) []any { return []any{f.time(), orders, f.number, f.kind(), f.aggregate()} })
	},
	"Latest events of a type": func(n int) []string {
		return latest(5, showFacts(n, func(f orderFact) bool { return f.version() == 1 && f.number > n-100 },
			func(f orderFact) []any { return []any{f.time(), orders, f.number, f.aggregate()} }))
	},
	"Schema versions": func(n int) []string {
		return latest(5, showFacts(n, func(f orderFact) bool { return f.version() == 4 && f.schema() == 2 && f.number > n-100 },
			func(f orderFact) []any { return []any{f.time(), orders, f.number, f.aggregate()} }))
	},
	"Counts per day": func(int) []string {
		return []string{cell(clock(1, 0, 0)) + "|2500", cell(clock(2, 0, 0)) + "|2500"}
	},
	// Five events with tags come first.
	"Everything from a position on": func(n int) []string {
		return showFacts(n, func(f orderFact) bool { return f.number > 18835 && f.number <= 18840 },
			func(f orderFact) []any { return []any{f.number + 5, orders, f.number, f.kind(), f.aggregate()} })
	},
	"A type from a position on": func(n int) []string {
		return showFacts(n, func(f orderFact) bool { return f.version() == 1 && f.number > 18835 && f.number <= 18855 },
			func(f orderFact) []any { return []any{f.number + 5, f.time(), f.aggregate()} })
	},
	"Events with a tag": func(int) []string {
		return []string{`1|eventstore.read|Read|["customer:c-9"]`, `2|eventstore.read|Read|["region:eu","customer:c-9"]`, `3|eventstore.read|Read|["customer:c-9"]`}
	},
	"Events with several tags": func(int) []string { return []string{"2|eventstore.read|Read"} },
	"A channel from a sequence on": func(n int) []string {
		return showFacts(n, func(f orderFact) bool { return f.number > 18840 && f.number <= 18845 },
			func(f orderFact) []any { return []any{f.number, f.kind(), f.aggregate(), f.data()} })
	},
	"Lag of consumers": func(int) []string { return []string{"eventstore.read|reader|projector|durable|1|5|1|2"} },
	"Consumers whose oldest message waits too long": func(int) []string { return nil },
	"Parked messages": func(int) []string {
		return []string{"eventstore.read|reader|projector|1|3|no such customer|Read|read", "eventstore.read|reader|projector|2|0|behind sequence 1|Read|read"}
	},
	"Reasons for parking":         func(int) []string { return []string{"no such customer|1|1", "behind sequence 1|1|2"} },
	"Payload of a parked message": func(int) []string { return []string{`{"customer_id":"c1","total":12.5}`} },
	"Who appended": func(int) []string {
		return []string{"1|Read||reader|127.0.0.1", "2|Read||reader|127.0.0.1", "3|Read||reader|127.0.0.1"}
	},
	"Administrative acts": func(int) []string { return []string{"ops|pause|eventstore.read projector|"} },
	"By a field of the data": func(n int) []string {
		return latest(5, showFacts(n, func(f orderFact) bool { return f.version() == 1 && f.order()%5000 == 42 },
			func(f orderFact) []any { return []any{f.time(), f.aggregate(), f.kind()} }))
	},
	"By a nested field of the data": func(n int) []string {
		found := showFacts(n, func(f orderFact) bool { return f.version() == 1 && f.order()%1000 == 77 },
			func(f orderFact) []any { return []any{f.aggregate(), f.kind()} })
		return found[:min(5, len(found))]
	},
	"By correlation in the metadata": func(n int) []string {
		return showFacts(n, func(f orderFact) bool { return (f.number-1)/2 == 9422 },
			func(f orderFact) []any { return []any{orders, f.number, f.kind(), f.aggregate()} })
	},
	"By any member of the data": func(int) []string { return []string{"order-4711|1"} },
}

// schema is the schema version of every second order's last event.
func (f orderFact) schema() int {
	if f.number%8 == 0 {
		return 2
	}
	return 1
}
func (f orderFact) aggregate() string { return fmt.Sprint("order-", f.order()) }
func (f orderFact) between(from, to time.Time) bool {
	return !f.time().Before(from) && f.time().Before(to)
}

func ofOrder(order int) func(orderFact) bool {
	return func(f orderFact) bool { return f.order() == order }
}

func clock(day, hour, minute int) time.Time {
	return time.Date(2026, 1, day, hour, minute, 0, 0, time.UTC)
}

func showFacts(n int, which func(orderFact) bool, columns func(orderFact) []any) (rows []string) {
	for i := range n {
		if f := (orderFact{i + 1}); which(f) {
			var cells []string
			for _, column := range columns(f) {
				cells = append(cells, cell(column))
			}
			rows = append(rows, strings.Join(cells, "|"))
		}
	}
	return rows
}

func latest(n int, rows []string) []string {
	slices.Reverse(rows)
	return rows[:min(n, len(rows))]
}

// cell formats a value independently of the driver: times in UTC, JSON without spaces and with sorted members.
func cell(value any) string {
	switch value := value.(type) {
	case nil:
		return "<null>"
	case time.Time:
		return value.UTC().Format("2006-01-02T15:04:05.000000")
	case []byte:
		return cell(string(value))
	case string:
		for _, layout := range []string{"2006-01-02T15:04:05.999999Z", "2006-01-02 15:04:05.999999", "2006-01-02"} {
			if at, err := time.Parse(layout, value); err == nil {
				return cell(at)
			}
		}
		var list []string
		if json.Unmarshal([]byte(value), &list) == nil && list != nil {
			value = strings.ReplaceAll(value, `", "`, `","`)
		}
		var document map[string]any
		if json.Unmarshal([]byte(value), &document) == nil {
			text, err := json.Marshal(document)
			if err != nil {
				return err.Error()
			}
			return string(text)
		}
		return value
	}
	return fmt.Sprint(value)
}

func answer(t *testing.T, db *sql.DB, text string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for rows.Next() {
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		var cells []string
		for _, value := range values {
			cells = append(cells, cell(value))
		}
		found = append(found, strings.Join(cells, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return found
}

// A plan uses an index if it shows how it finds rows of Messages and no step reads all rows or all rows of a channel.
var (
	readsAll = map[string]*regexp.Regexp{
		"postgres": regexp.MustCompile(`Seq Scan on messages|Index Cond: \(id = c\.id\)`),
		"mysql":    regexp.MustCompile(`(?m)^[^|]*\|[^|]*\|m\|(?:ALL|index|ref\|[^|]*\|PRIMARY\|4)\||(?:Table|Index) scan on m |Index lookup on m using PRIMARY \(id = [^,)]*\)`), // of MariaDB, and of MySQL
		"sqlite":   regexp.MustCompile(`SCAN m|SEARCH m .*\(id=\?\)`),
	}
	readsIndex = map[string]*regexp.Regexp{
		"postgres": regexp.MustCompile(`Index (?:Only )?Scan.* on (?:messages|idx_|pk_|eventstore_idx_)`),
		"mysql":    regexp.MustCompile(`(?m)^[^|]*\|[^|]*\|m\|(?:const|eq_ref|ref|range)\||(?:lookup|range scan) on m using`),
		"sqlite":   regexp.MustCompile(`SEARCH m USING (?:COVERING )?INDEX`),
	}
)

// publishUntil publishes events one by one until the server has logged the text. No publish may fail while indexes are
// built.
func publishUntil(t *testing.T, s *server, text string) {
	t.Helper()
	began := time.Now()
	deadline := time.After(patience + time.Duration(*sqlEvents)*100*time.Microsecond) // an index takes seconds per million events
	for ready := false; !ready; {
		var changed <-chan struct{}
		if ready, changed = s.Log.Find("Streaming Server is ready"); ready {
			break
		}
		select {
		case <-changed:
		case <-s.Process.Done():
			t.Fatal("the server ended")
		case <-deadline:
			t.Fatal("the server did not become ready")
		}
	}
	t.Logf("ready after %v", time.Since(began).Round(time.Millisecond))
	sc := s.connect("publisher")
	count, longest := 0, time.Duration(0)
	for done := false; !done; done = s.Log.Contains(text) {
		sent := time.Now()
		publish(t, sc, "eventstore.during", event(t, "during", "During"))
		longest = max(longest, time.Since(sent))
		count++
		select {
		case <-deadline:
			t.Fatalf("the server did not log %q", text)
		default:
		}
	}
	t.Logf("indexes built in %v; %d events published meanwhile, the slowest in %v", time.Since(began).Round(time.Millisecond), count, longest.Round(time.Millisecond))
}

// TestQueries runs the statements of docs/reference/sql.md. Each must give the right answer by an index.
func TestQueries(t *testing.T) {
	t.Parallel()
	shown := newSQLPage(t, page.Own(t, "docs/reference/sql.md"))
	used := map[string]bool{}
	for _, s := range shown.statements {
		if used[s.heading] = true; expectedRows[s.heading] == nil {
			t.Errorf("docs/reference/sql.md, %q: the test has no expected answer", s.heading)
		}
	}
	for heading := range expectedRows {
		if !used[heading] {
			t.Errorf("docs/reference/sql.md has no statement under %q", heading)
		}
	}
	n := *sqlEvents
	if n < minSQLEvents || t.Failed() {
		t.Fatal("too few events, or the page and the test differ")
	}
	plain := ""
	if n > minSQLEvents {
		plain = filepath.Join(t.TempDir(), "nats-streaming-server")
		if out, err := exec.Command("go", "build", "-o", plain, "../cmd/nats-streaming-server").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(shown.configuration), 0o600); err != nil {
			t.Fatal(err)
		}
		s := start(t, driver, source, "-record_appenders")
		sc := s.connect("reader")
		sub, in := subscribe(t, sc, "eventstore.read", stan.DurableName("projector"), stan.MaxInflight(1), stan.SetManualAckMode())
		for _, tags := range [][]string{{"customer:c-9"}, {"region:eu", "customer:c-9"}, {"customer:c-9"}, {"customer:C-9", "region:eu"}, nil} {
			publish(t, sc, "eventstore.read", event(t, "read", "Read", withTags(tags...)))
		}
		in.next(t)
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		if err := sc.Close(); err != nil {
			t.Fatal(err)
		}
		s.Stop()

		dsn := source
		if driver == "postgres" {
			dsn += "&timezone=UTC"
		}
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		fillOrders(t, db, driver, n)
		for _, text := range []string{
			"INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES (900, 'eventstore.read', 'reader', 'projector', '{}')",
			"INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES (900, 1, 3, 1, 2, 'read', 'no such customer'), (900, 2, 0, 0, 0, 'read', 'behind sequence 1')",
			"INSERT INTO AuditEntries (id, time, principal, address, action, target, detail) VALUES (1, 1, 'ops', '', 'pause', 'eventstore.read projector', '')",
		} {
			query(t, driver, source, text)
		}

		s.Args = append(s.Args, "-sc", file)
		if driver == "postgres" {
			s.Args = append(s.Args, "-index_event_data", "$.customer_id,$.address.city,document")
		}
		s.Binary = cmp.Or(plain, harness.Binary())
		s.Launch()
		publishUntil(t, s, "the indexes match the configuration")

		for _, statement := range shown.statements {
			if len(statement.drivers) > 0 && !slices.Contains(statement.drivers, driver) {
				continue
			}
			began := time.Now()
			got := answer(t, db, statement.text)
			took := time.Since(began)
			if want := expectedRows[statement.heading](n); !slices.Equal(got, want) {
				t.Errorf("%s\n%s\ngot\n%s\nwant\n%s", statement.heading, statement.text, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			plan := strings.Join(answer(t, db, map[string]string{"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN ", "mysql": "EXPLAIN "}[driver]+statement.text), "\n")
			t.Logf("%s: %v\n%s", statement.heading, took.Round(10*time.Microsecond), plan)
			ofEvents := strings.Contains(statement.text, "FROM events") || strings.Contains(statement.text, "FROM Messages")
			if ofEvents && (readsAll[driver].MatchString(plan) || !readsIndex[driver].MatchString(plan)) {
				t.Errorf("%s: the query does not use an index\n%s\n%s", statement.heading, statement.text, plan)
			}
		}
	})
}

// TestIndexPathIsChecked: an invalid path stops the start with an error that names it.
func TestIndexPathIsChecked(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(harness.Binary(), "-store", "MEMORY", "-index_metadata", "$.correlation_id,$.tenant-id")
	out, err := cmd.CombinedOutput()
	want := `index_metadata: path "$.tenant-id": has "-id" after a name`
	if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), want) || strings.Count(string(out), "\n") != 1 {
		t.Errorf("error %v, output %s", err, out)
	}
}
