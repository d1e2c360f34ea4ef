package stores_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// No statement scans Messages, even when it is planned for an empty table.
func TestPostgresPlans(t *testing.T) {
	t.Parallel()
	found := 0
	for text, plan := range stores.PostgresPlans(t, stores.Options{Driver: "postgres", Source: databases.Postgres(t)}) {
		if strings.Contains(plan, "Seq Scan on messages") {
			t.Errorf("%s\n%s", text, plan)
		}
		if strings.Contains(plan, " on messages") {
			found++
		}
	}
	if found < 6 {
		t.Errorf("%d plans name messages: the test does not see them", found)
	}
}

// A minimum or maximum that no index answers is a SEARCH without an index: SQLite reads the whole table.
func TestSQLitePlans(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "eventstore.db")
	statements := stores.SQLiteStatements(t, stores.Options{Driver: "sqlite", Source: source})
	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := 0
	for _, statement := range statements {
		for _, step := range texts(t, db, "EXPLAIN QUERY PLAN "+statement) {
			if strings.HasPrefix(step, "SCAN Messages") || strings.HasPrefix(step, "SEARCH Messages") && !strings.Contains(step, "USING") {
				t.Errorf("%s\n%s", statement, step)
			}
			if strings.HasPrefix(step, "SEARCH Messages USING") {
				found++
			}
		}
	}
	if found < 6 {
		t.Errorf("%d plans name Messages: the test does not see them", found)
	}
}

// A look-up reads one row of an index, however long the stream of its aggregate is, and however many events there are.
func TestMySQLPlans(t *testing.T) {
	t.Parallel()
	source := databases.MySQL(t)
	s, err := stores.Open(t.Context(), stores.Options{Driver: "mysql", Source: source})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, _, err := s.TryLease(t.Context(), "server", stores.Lease{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateChannel(t.Context(), "eventstore.c")
	if err != nil {
		t.Fatal(err)
	}
	var batch []stores.Append
	for i := range 5000 {
		batch = append(batch, orderEvent(t, c, i*5000)) // one aggregate
	}
	if _, err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("mysql", source+"&interpolateParams=true")
	if !strings.Contains(source, "?") {
		db, err = sql.Open("mysql", source+"?interpolateParams=true")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reads := func() (total int) {
		t.Helper()
		rows, err := conn.QueryContext(t.Context(), "SHOW SESSION STATUS LIKE 'Handler_read%'")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var value int
			if err := rows.Scan(&name, &value); err != nil {
				t.Fatal(err)
			}
			total += value
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return total
	}
	lookUp := func(text string, args ...any) {
		t.Helper()
		before := reads()
		found := 0
		rows, err := conn.QueryContext(t.Context(), text, args...)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() { // the last call ends the statement
			found++
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if n := reads() - before; found != 1 || n > 60 { // the status query itself adds some
			t.Errorf("%s finds %d rows and reads %d", text, found, n)
		}
	}
	lookUp(stores.MySQLLookUps[0], 0, "order-0", "Order", 1)
	lookUp(stores.MySQLLookUps[1], 0, fmt.Sprintf("%032d", 5000), 1)
	for _, text := range s.EndTexts() {
		lookUp(text)
	}
}

var (
	triggerQuery = regexp.MustCompile(`(?s)\(SELECT 1 FROM .*? IS NOT NULL\)`)
	triggerRow   = regexp.MustCompile(`(NEW|OLD)\.\w+`)
)

// The triggers of SQLite find a channel before they look for its events, without statistics, too. So a new channel costs the same,
// however many events there are.
func TestSQLiteTriggerPlans(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "eventstore.db")
	s, err := stores.Open(t.Context(), stores.Options{Driver: "sqlite", Source: source})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, _, err := s.TryLease(t.Context(), "server", stores.Lease{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := 0
	for _, trigger := range texts(t, db, "SELECT sql FROM sqlite_master WHERE type = 'trigger'") {
		for _, query := range triggerQuery.FindAllString(trigger, -1) {
			found++
			query = triggerRow.ReplaceAllString(strings.Trim(query, "()"), "7")
			plan := strings.Join(texts(t, db, "EXPLAIN QUERY PLAN "+query), "\n")
			if strings.Contains(plan, "(event_type>?)") || strings.Contains(plan, "SCAN m") || strings.Contains(plan, "SCAN Messages") {
				t.Errorf("%s\n%s", query, plan)
			}
		}
	}
	if found < 4 {
		t.Errorf("%d queries of triggers: the test does not see them", found)
	}
}

// texts returns the last columns of the rows of a query.
func texts(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var text string
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		values[len(values)-1] = &text
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		all = append(all, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
