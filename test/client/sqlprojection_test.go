package client

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/client/sqlprojection"
)

// example returns the example file of the server's kind of database.
func (s *server) example() *sqlprojection.File {
	s.t.Helper()
	file, err := sqlprojection.Read(filepath.Join("../../examples/projections", "orders-"+s.driver+".yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	return file
}

// The example of each database passes its own check, which leaves nothing behind, and makes the read model that it describes: exactly once,
// in transactions of one event and of many, and again in a rebuild.
func TestSQLProjection(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		file := s.example()
		db, dialect := s.readModel()
		if problems := file.Check(nil); problems != nil {
			t.Error(errors.Join(problems...))
		}
		for range 2 {
			if problems, err := file.CheckDatabase(patient(t), db, dialect, nil); problems != nil || err != nil {
				t.Fatal(errors.Join(problems...), err)
			}
		}
		c := s.client()
		place := func(n int) {
			t.Helper()
			var events []eventstore.NewEvent
			for i := range n {
				events = append(events, eventstore.NewEvent{
					Type: "OrderPlaced", AggregateType: "Order", AggregateID: fmt.Sprintf("order-%d", i),
					Payload: fmt.Appendf(nil, `{"customer":"c-%d","total":%d.10,"lines":[{"product":"p"}],"note":%s}`, i%2, i, []string{"null", `"it's"`}[i%2]),
				})
			}
			if _, err := c.Append(patient(t), "eventstore.orders", events); err != nil {
				t.Fatal(err)
			}
		}
		one := func(kind string, order int, data string) uint64 {
			t.Helper()
			at, err := c.Append(patient(t), "eventstore.orders", []eventstore.NewEvent{{Type: kind, AggregateType: "Order", AggregateID: fmt.Sprintf("order-%d", order), Payload: []byte(data)}})
			if err != nil {
				t.Fatal(err)
			}
			return at[0].Position
		}
		place(10)
		p, err := file.Projector(c, db, dialect)
		if err != nil {
			t.Fatal(err)
		}
		stop := running(t, p.Run)
		one("OrderShipped", 3, `{"carrier":"post"}`)
		one("OrderRenamed", 3, `not JSON`) // the file does not name it
		at := one("OrderCancelled", 4, `{"reason":"too late"}`)
		if err := p.WaitFor(patient(t), at); err != nil {
			t.Fatal(err)
		}
		// The totals of 0 to 9, with 0.10 each, by even and odd customer; without 4.10.
		want := "c-0: 4 orders, 16.40; c-1: 5 orders, 25.50; order-3 shipped by post, it's; order-4 cancelled: too late, -"
		model := func() string {
			var lines []string
			for _, id := range []string{"c-0", "c-1"} {
				var orders int
				var total float64
				if err := db.QueryRowContext(t.Context(), "SELECT orders, total FROM customers WHERE id = '"+id+"'").Scan(&orders, &total); err != nil {
					return err.Error()
				}
				lines = append(lines, fmt.Sprintf("%s: %d orders, %.2f", id, orders, total))
			}
			for _, id := range []string{"order-3", "order-4"} {
				var status, note string
				if err := db.QueryRowContext(t.Context(), "SELECT status, COALESCE(note, '-') FROM orders WHERE id = '"+id+"'").Scan(&status, &note); err != nil {
					return err.Error()
				}
				lines = append(lines, fmt.Sprintf("%s %s, %s", id, status, note))
			}
			return strings.Join(lines, "; ")
		}
		if got := model(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		again, err := file.Projector(c, db, dialect)
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Rebuild(patient(t)); err != nil {
			t.Fatal(err)
		}
		if err := again.DropOld(patient(t)); err != nil {
			t.Fatal(err)
		}
		if got := model(); got != want {
			t.Errorf("rebuilt, got  %s\nwant %s", got, want)
		}
		// The projector that runs goes on with the new generation. An event that lacks a field stops it, and tells which.
		one("OrderShipped", 4, `{"carrier":"ship"}`)
		eventually(t, strings.Replace(want, "order-4 cancelled: too late", "order-4 shipped by ship", 1), model)
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		one("OrderShipped", 4, `{"carier":"ship"}`)
		if err := p.Run(patient(t)); err == nil || !strings.Contains(err.Error(), "$.carrier: the event does not have it") {
			t.Errorf("error %v", err)
		}
	})
}

// What a database does not take is found by a check, with its place.
func TestCheckOfSQLProjection(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		db, dialect := s.readModel()
		for text, want := range map[string]string{
			"tables: {t: 'CREATE TABLE IF NOT EXISTS {t} (a INTEGER NOT NULL) WRONG'}\nevents: {A: 'INSERT INTO {t} VALUES ($.a)'}":                                  "table t, statement 1",
			"tables: {t: 'CREATE TABLE IF NOT EXISTS {t} (a INTEGER NOT NULL)'}\nevents: {A: ['INSERT INTO {t} VALUES ($.a)', 'INSERT INTO {t} (b) VALUES ($.a)']}":  "events: A, statement 2",
			"tables: {t: 'CREATE TABLE IF NOT EXISTS {t} (a INTEGER NOT NULL)'}\nevents: {A: 'INSERT INTO {t} VALUES ($.a)'}\nsamples: [{type: A, data: {a: null}}]": "sample 1 (A): statement 1",
		} {
			file, err := sqlprojection.Parse([]byte("name: n\n" + text))
			if err != nil {
				t.Fatal(err)
			}
			problems, err := file.CheckDatabase(patient(t), db, dialect, nil)
			if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Error(), want) {
				t.Errorf("%s\n%v, %v, want %q", text, problems, err, want)
			}
			if _, err := db.ExecContext(patient(t), "SELECT 1 FROM t_0"); err == nil {
				t.Error("the check leaves a table behind")
			}
		}
	})
}

// A file can park what fails. The other events of the batch take effect, also those whose rows are inserted by one statement.
func TestSQLProjectionParks(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		file, err := sqlprojection.Parse([]byte(`
name: n
on_error: park
tables: {t: "CREATE TABLE IF NOT EXISTS {t} (a BIGINT NOT NULL PRIMARY KEY)"}
events: {A: "INSERT INTO {t} VALUES ($.a)"}
`))
		if err != nil {
			t.Fatal(err)
		}
		c := s.client()
		var events []eventstore.NewEvent
		for i := range 20 {
			data := fmt.Sprintf(`{"a":%d}`, i)
			if i%5 == 4 {
				data = []string{`{"a":1}`, `{"a":null}`, `{}`, `broken`}[i/5]
			}
			events = append(events, eventstore.NewEvent{Type: "A", AggregateID: "a", Payload: []byte(data)})
		}
		if _, err := c.Append(patient(t), channel, events); err != nil {
			t.Fatal(err)
		}
		db, dialect := s.readModel()
		p, err := file.Projector(c, db, dialect)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(patient(t))
		p.CaughtUp = stop
		if err := p.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		var rows int
		if err := db.QueryRowContext(patient(t), "SELECT COUNT(*) FROM t").Scan(&rows); err != nil || rows != 16 {
			t.Errorf("%d rows, %v", rows, err)
		}
		parked, err := p.Parked(patient(t))
		if err != nil || len(parked) != 4 || parked[0].Place != 5 {
			t.Errorf("parked %+v, %v", parked, err)
		}
	})
}
