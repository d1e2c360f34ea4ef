package test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // drivers of the databases under test
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"
)

// query runs SQL like an operator, beside the server. It returns rows as text, with columns separated by | and NULL as
// <null>.
func query(t testing.TB, driver, source, text string) []string {
	t.Helper()
	rows, err := tryQuery(driver, source, text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return rows
}

func tryQuery(driver, source, text string) (found []string, err error) {
	if driver == "sqlite" {
		source += "?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstOf(err, db.Close()) }()
	rows, err := db.Query(text)
	if err != nil {
		return nil, err
	}
	defer func() { err = firstOf(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		dest := make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		row := make([]string, len(columns))
		for i, v := range values {
			if row[i] = v.String; !v.Valid {
				row[i] = "<null>"
			}
		}
		found = append(found, strings.Join(row, "|"))
	}
	return found, rows.Err()
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// contiguous checks that a channel's sequences are 1..n without a gap and that timestamps do not decrease.
func contiguous(t testing.TB, driver, source, channel string, n int) {
	t.Helper()
	where := fmt.Sprintf("FROM Messages m JOIN Channels c ON c.id = m.id WHERE c.name = '%s'", channel)
	got := query(t, driver, source, "SELECT COUNT(*), COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) "+where)[0]
	if want := fmt.Sprintf("%d|%d|%d", n, min(n, 1), n); got != want {
		t.Errorf("channel %q: count|first|last = %s, want %s", channel, got, want)
	}
	older := query(t, driver, source, "SELECT COUNT(*) FROM Messages a JOIN Messages b ON b.id = a.id AND b.seq = a.seq + 1 WHERE b.timestamp < a.timestamp")[0]
	if older != "0" {
		t.Errorf("%s messages are older than their predecessors", older)
	}
}
