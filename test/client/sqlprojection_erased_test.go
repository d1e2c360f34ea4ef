package client

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// erase erases events.
func (s *server) erase(request *eventstorev1.EraseEventsRequest) {
	s.t.Helper()
	request.Reason = "request 114"
	if _, err := eventstorev1connect.NewAdminClient(http.DefaultClient, s.api()).EraseEvents(patient(s.t), request); err != nil {
		s.t.Fatal(err)
	}
}

// A file says what becomes of rows whose event was erased: of those that were made before, while the projection runs, and in a rebuild. The
// rest of the read model stays as it was.
func TestSQLProjectionErased(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		file, err := sqlprojection.Parse([]byte(`
name: customers
source: {channels: [eventstore.people]}
tables:
  customers: CREATE TABLE IF NOT EXISTS {customers} (id VARCHAR(50) PRIMARY KEY, name VARCHAR(50), named_at BIGINT)
  visits: CREATE TABLE IF NOT EXISTS {visits} (position BIGINT PRIMARY KEY, id VARCHAR(50), note VARCHAR(50))
events:
  Registered: INSERT INTO {customers} (id, name, named_at) VALUES ($aggregate_id, $.name, $event.position)
  Renamed: UPDATE {customers} SET name = $.name, named_at = $event.position WHERE id = $aggregate_id
  Visited: INSERT INTO {visits} (position, id, note) VALUES ($event.position, $aggregate_id, $.note)
  Left: DELETE FROM {customers} WHERE id = $aggregate_id
erased:
  Registered:
    - UPDATE {customers} SET name = NULL WHERE id = $aggregate_id AND named_at = $event.position
    - INSERT INTO {customers} (id, named_at) SELECT $aggregate_id, $event.position FROM (SELECT 1 AS one) AS it WHERE NOT EXISTS (SELECT 1 FROM {customers} WHERE id = $aggregate_id)
  Visited: DELETE FROM {visits} WHERE position = $event.position
samples:
  - {type: Registered, aggregate_id: c-1, data: {name: Ann}}
  - {type: Visited, aggregate_id: c-1, data: {note: late}}
`))
		if err != nil {
			t.Fatal(err)
		}
		db, dialect := s.readModel()
		if problems, err := file.CheckDatabase(patient(t), db, dialect, nil); problems != nil || err != nil {
			t.Fatal(errors.Join(problems...), err)
		}
		c := s.client()
		last := uint64(0)
		add := func(kind, id, data string) {
			t.Helper()
			at, err := c.Append(patient(t), "eventstore.people", []eventstore.NewEvent{{Type: kind, AggregateType: "Person", AggregateID: id, Payload: []byte(data)}})
			if err != nil {
				t.Fatal(err)
			}
			last = at[0].Position
		}
		for _, id := range []string{"c-1", "c-2", "c-3"} {
			add("Registered", id, `{"name":"Ann"}`)
			add("Visited", id, `{"note":"late"}`)
		}
		add("Renamed", "c-2", `{"name":"Bob"}`)
		for range 1100 { // between the events that are erased, too many to be read over
			add("Ignored", "c-9", `{}`)
		}
		add("Visited", "c-1", `{"note":"early"}`)
		p, err := file.Projector(c, db, dialect)
		if err != nil {
			t.Fatal(err)
		}
		stop := running(t, p.Run)
		if err := p.WaitFor(patient(t), last); err != nil {
			t.Fatal(err)
		}
		model := func() string {
			var lines []string
			for _, text := range []string{"SELECT id, COALESCE(name, '-') FROM customers ORDER BY id", "SELECT id, note FROM visits ORDER BY position"} {
				pairs, err := pairs(t.Context(), db, text)
				if err != nil {
					return err.Error()
				}
				lines = append(lines, pairs...)
			}
			return strings.Join(lines, ", ")
		}
		if got := model(); got != "c-1 Ann, c-2 Bob, c-3 Ann, c-1 late, c-2 late, c-3 late, c-1 early" {
			t.Fatal(got)
		}
		s.erase(&eventstorev1.EraseEventsRequest{Events: &eventstorev1.EraseEventsRequest_AggregateId{AggregateId: "c-1"}})
		s.erase(&eventstorev1.EraseEventsRequest{Channel: "eventstore.people", Events: &eventstorev1.EraseEventsRequest_Sequence{Sequence: 3}}) // the first name of c-2
		want := "c-1 -, c-2 Bob, c-3 Ann, c-2 late, c-3 late"
		eventually(t, want, model)
		add("Visited", "c-1", `{"note":"again"}`)
		want += ", c-1 again"
		eventually(t, want, model)
		rebuilt, err := file.Projector(c, db, dialect)
		if err != nil {
			t.Fatal(err)
		}
		if err := rebuilt.Rebuild(patient(t)); err != nil {
			t.Fatal(err)
		}
		if got := model(); got != want {
			t.Errorf("rebuilt: %s, want %s", got, want)
		}
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// pairs returns the rows of a query with two columns.
func pairs(ctx context.Context, db *sql.DB, text string) (all []string, err error) {
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b string
		if err := rows.Scan(&a, &b); err != nil {
			return nil, err
		}
		all = append(all, a+" "+b)
	}
	return all, rows.Err()
}

// What a file cannot mean is an error that says so.
func TestSQLProjectionErasedMistakes(t *testing.T) {
	t.Parallel()
	for erased, want := range map[string]string{
		"Renamed: DELETE FROM {people} WHERE id = $aggregate_id": "erased: Renamed is not among events, so none is read",
		"Named: UPDATE {people} SET name = $.name":               "erased: Named, statement 1: an erased event has no $.name: use $event and $aggregate_id",
		"Named: UPDATE {people} SET name = $metadata.who":        "an erased event has no $metadata.who",
		"Named: COMMIT":                "erased: Named, statement 1: begin with INSERT",
		"Named: []":                    "erased: Named has no statement",
		"Named: DELETE FROM {persons}": "{persons} is not among tables",
		"Named: UPDATE {people} SET name = NULL WHERE id = $event.name": "$event.name does not exist",
	} {
		_, err := sqlprojection.Parse(fmt.Appendf(nil, "name: p\ntables: {people: 'CREATE TABLE IF NOT EXISTS {people} (id TEXT, name TEXT)'}\nevents: {Named: 'UPDATE {people} SET name = $.name'}\nerased:\n  %s\n", erased))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", erased, err, want)
		}
	}
}
