package client

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
	"github.com/nats-eventstore/nats-eventstore/eventstoretest"
)

// A number compares as one in SQLite, which would find any text greater than a number.
func TestDecimalsInSQLite(t *testing.T) {
	t.Parallel()
	server, db := eventstoretest.Start(t), eventstoretest.Database(t)
	file, err := sqlprojection.Parse([]byte(`
name: n
tables: {t: "CREATE TABLE IF NOT EXISTS {t} (id TEXT PRIMARY KEY, size TEXT, high NUMERIC, exact TEXT)"}
events:
  A: "INSERT INTO {t} VALUES ($aggregate_id, CASE WHEN $.total > 100 THEN 'big' ELSE 'small' END, $.total, $.exact)"
  B: "UPDATE {t} SET high = max(high, $.total) WHERE id = $aggregate_id"
`))
	if err != nil {
		t.Fatal(err)
	}
	c := server.Client()
	if _, err := c.Append(patient(t), channel, []eventstore.NewEvent{
		{Type: "A", AggregateID: "a", Payload: []byte(`{"total":24.90,"exact":0.1234567890123456789}`)}, {Type: "B", AggregateID: "a", Payload: []byte(`{"total":4.5}`)},
	}); err != nil {
		t.Fatal(err)
	}
	p, err := file.Projector(c, db, eventstore.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	eventstoretest.Project(t, p)
	var size, exact string
	var high float64
	if err := db.QueryRowContext(patient(t), "SELECT size, high, exact FROM t").Scan(&size, &high, &exact); err != nil {
		t.Fatal(err)
	}
	if size != "small" || high != 24.9 || exact != "0.1234567890123456789" {
		t.Errorf("size %s, high %v, exact %s", size, high, exact)
	}
}
