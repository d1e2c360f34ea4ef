package console_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestSQL asks the database, with a role that only reads, what a page of docs explains and what it may not.
func TestSQL(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		var args []string
		if driver == "postgres" {
			s := start(t, driver, source) // makes the tables
			p := browser(t, s)
			p.open("/console/sql")
			p.sees("Questions need a database role that only reads", "Latest events of a type")
			s.Stop()
			args = []string{"-console_sql_source", analyst(t, source)}
		}
		s := start(t, driver, source, args...)
		for range 3 {
			s.store(t, "eventstore.orders", object{"eventType": "order.placed", "aggregateType": "order", "aggregateId": "order-4711", "eventData": `{"n":1}`})
		}
		p := browser(t, s)
		p.open("/console/sql")
		p.click("History of an aggregate")
		p.until("document.querySelector('textarea').value.includes('order-4711')", "does not show the statement")
		p.click("Ask")
		p.sees("3 rows", "order.placed")
		for _, it := range []struct{ statement, shown string }{
			{"DELETE FROM events", "only a query can be asked"},
			{"SELECT * FROM nothing", "nothing"},
			{"SELECT '<b>' || event_type AS bold FROM events", "<b>order.placed"},
			{"SELECT 1 AS one WHERE 1 = 2", "0 rows"},
			{"SELECT count(*) AS many FROM events a, events b", "9"},
		} {
			p.do(setText("#statement", it.statement), chromedp.Evaluate[chromedp.Void]("window.before = true"))
			p.click("Ask")
			p.until("window.before === undefined", "does not answer "+it.statement)
			p.sees(it.shown)
		}
	})
}

// analyst makes a role that may read the events, and returns its source.
func analyst(t *testing.T, source string) string {
	t.Helper()
	db, err := sql.Open("postgres", source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, text := range []string{"CREATE ROLE console_analyst LOGIN PASSWORD 'secret'", "GRANT SELECT ON events TO console_analyst"} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, text := range []string{"DROP OWNED BY console_analyst", "DROP ROLE console_analyst"} {
			if _, err := db.Exec(text); err != nil {
				t.Error(err)
			}
		}
	})
	return strings.Replace(source, "eventstore:secret@", "console_analyst:secret@", 1)
}
