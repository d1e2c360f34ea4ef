package stores_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// Reading by position walks one index and stops: it reads no whole table, and sorts only what an aggregate or a small
// channel holds. So it is before and after the database has statistics.
func TestQueryPlans(t *testing.T) {
	t.Parallel()
	for _, it := range []struct {
		driver  string
		source  func(t *testing.T) string
		analyze string
		explain func(t *testing.T, conn *sql.Conn, q stores.QueryText) string
		whole   []string // what the plan says of a whole table
		sort    string   // what it says of a sort
	}{
		{
			"postgres", func(t *testing.T) string { return databases.Postgres(t) }, "ANALYZE", explainPostgres,
			[]string{"Seq Scan on messages", "Seq Scan on eventtags"}, "Sort",
		},
		{
			"mysql", func(t *testing.T) string { return databases.MySQL(t) }, "ANALYZE TABLE Messages, EventTags", explainMySQL,
			[]string{"type=ALL", "type=index "}, "filesort",
		},
		{
			"sqlite", func(t *testing.T) string { return filepath.Join(t.TempDir(), "eventstore.db") }, "ANALYZE", explainSQLite,
			[]string{"SCAN Messages", "SCAN EventTags"}, "TEMP B-TREE",
		},
	} {
		t.Run(it.driver, func(t *testing.T) {
			t.Parallel()
			source := it.source(t)
			s, c := storeOfEvents(t, it.driver, source)
			db, err := sql.Open(it.driver, source)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			conn, err := db.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, analyzed := range []bool{false, true} {
				for _, typ := range []string{"Common", "Rare"} {
					for _, q := range stores.QueryTexts(s, typ, "t-1", "a-1", c, s.Position()) {
						plan := it.explain(t, conn, q)
						for _, whole := range it.whole {
							if strings.Contains(plan, whole) {
								t.Errorf("analyzed %v: %s reads the whole table:\n%s", analyzed, q.Text, plan)
							}
						}
						if !q.Sorted && strings.Contains(plan, it.sort) {
							t.Errorf("analyzed %v: %s sorts:\n%s", analyzed, q.Text, plan)
						}
						if !strings.Contains(strings.ToLower(plan), strings.ToLower(q.Index)) {
							t.Errorf("analyzed %v: %s does not use %s:\n%s", analyzed, q.Text, q.Index, plan)
						}
					}
				}
				if _, err := conn.ExecContext(t.Context(), it.analyze); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// storeOfEvents returns a store of many events, the last of which are of one type.
func storeOfEvents(t *testing.T, driver, source string) (*stores.Store, *stores.Channel) {
	t.Helper()
	s, err := stores.Open(t.Context(), stores.Options{Driver: driver, Source: source, IndexMetadata: []string{"$.user"}})
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
	var channels []*stores.Channel
	for i := range 20 {
		c, err := s.CreateChannel(t.Context(), fmt.Sprintf("eventstore.c%d", i))
		if err != nil {
			t.Fatal(err)
		}
		channels = append(channels, c)
	}
	var batch []stores.Append
	for i := range 4000 {
		e := &proto.Event{Type: "Common", AggregateID: fmt.Sprintf("a-%d", i%100), Tags: []string{fmt.Sprintf("t-%d", i%100)}, Metadata: fmt.Appendf(nil, `{"user":"u-%d"}`, i%100)}
		if i < 40 {
			e.Type = "Rare"
		}
		batch = append(batch, stores.Append{Channel: channels[i%20], Payload: []byte("payload"), Event: e})
	}
	results, err := s.Append(t.Context(), batch)
	if err != nil || results[0].Err != nil || s.Position() != 4000 {
		t.Fatal(s.Position(), results[0].Err, err)
	}
	if err := s.ApplyIndexes(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, channels[0]
}

// explainPostgres returns the plan for any arguments, as the store has it after a few calls.
func explainPostgres(t *testing.T, conn *sql.Conn, q stores.QueryText) string {
	t.Helper()
	execEach(t, conn, "SET plan_cache_mode = force_generic_plan", "DEALLOCATE ALL", "PREPARE q AS "+q.Text)
	args := make([]string, len(q.Args))
	for i, arg := range q.Args {
		args[i] = fmt.Sprintf("'%v'", arg)
	}
	return planOf(t, conn, "EXPLAIN EXECUTE q ("+strings.Join(args, ", ")+")")
}

func explainMySQL(t *testing.T, conn *sql.Conn, q stores.QueryText) string {
	t.Helper()
	return planOf(t, conn, "EXPLAIN "+q.Text, q.Args...)
}

func explainSQLite(t *testing.T, conn *sql.Conn, q stores.QueryText) string {
	t.Helper()
	return planOf(t, conn, "EXPLAIN QUERY PLAN "+q.Text, q.Args...)
}

func execEach(t *testing.T, conn *sql.Conn, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := conn.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// planOf returns the rows of a plan as lines of column=value.
func planOf(t *testing.T, conn *sql.Conn, text string, args ...any) string {
	t.Helper()
	rows, err := conn.QueryContext(context.WithoutCancel(t.Context()), text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var plan strings.Builder
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		to := make([]any, len(names))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			plan.WriteString(name + "=" + values[i].String + " ")
		}
		plan.WriteString("\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
