package test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// disorders are changes of the order of six events and of their tags, what verify reports, and how to undo them.
var disorders = []struct {
	sql      []string
	findings []string // kind, and part of the key and of the text
	undo     []string
}{
	{[]string{"UPDATE Messages SET position = NULL WHERE position = 4"},
		[]string{`order|"eventstore.orders" (id 1), sequence 3|no position: run nats-streaming-server migrate, or start a server`,
			`order|"eventstore.other" (id 2), sequence 2|no event has the positions from 4 to 4 before it`},
		[]string{"UPDATE Messages SET position = 4 WHERE id = 1 AND seq = 3"}},
	{[]string{"UPDATE Messages SET position = NULL WHERE position >= 5"},
		[]string{`order|sequence 2|no position`, `order|sequence 4|no position`, "order|position|no event has the positions from 5 to 6, the last one given",
			`tags|tag "b", position 5|no event has this position`},
		[]string{"UPDATE Messages SET position = 5 WHERE id = 2 AND seq = 2", "UPDATE Messages SET position = 6 WHERE id = 1 AND seq = 4"}},
	{[]string{"UPDATE Messages SET position = 7 WHERE position = 2"},
		[]string{`order|"eventstore.orders" (id 1), sequence 2|no event has the positions from 2 to 2`, `order|"eventstore.other" (id 2), sequence 1|is earlier than that of the position before it`,
			`order|"eventstore.other" (id 2), sequence 1|its position, 7, is above that of sequence 2, 5`, "order|position|it is 6, but an event has position 7; start a server"},
		[]string{"UPDATE Messages SET position = 2 WHERE position = 7"}},
	{[]string{"UPDATE Messages SET position = 3 WHERE position = 4"},
		[]string{"order|sequence|another event also has position 3", "order|sequence 2|no event has the positions from 4 to 4",
			`tags|tag "a", position 3|sequence 3 does not have this tag`},
		[]string{"UPDATE Messages SET position = 4 WHERE id = 1 AND seq = 3"}},
	{[]string{"UPDATE Messages SET position = 0 WHERE position = 1"},
		[]string{"order|sequence 1|position 0: positions begin at 1", "order|sequence 1|from 1 to 1", `tags|tag "a"|no event has this position`, `tags|tag "b"|no event has this position`},
		[]string{"UPDATE Messages SET position = 1 WHERE position = 0"}},
	{[]string{"UPDATE StoreLock SET position = NULL"}, []string{"order|position|it is NULL: the events that were stored before have no positions yet; run nats-streaming-server migrate"},
		[]string{"UPDATE StoreLock SET position = 5"}},
	{nil, []string{"order|position|it is 5, but an event has position 6"}, []string{"UPDATE StoreLock SET position = 8"}},
	{nil, []string{"order|position|no event has the positions from 7 to 8, the last one given"}, []string{"UPDATE StoreLock SET position = -1"}},
	{nil, []string{"order|position|it is -1"}, []string{"UPDATE StoreLock SET position = 6"}},
	{[]string{"UPDATE Messages SET position = 7 WHERE id = 3"}, []string{"columns|plain|event_type is NULL, other columns of an event are not", "order|position|it is 6, but an event has position 7"},
		[]string{"UPDATE Messages SET position = NULL WHERE id = 3"}},
	{[]string{`UPDATE Messages SET tags = '["a"]' WHERE position = 1`}, []string{`columns|sequence 1|tags is ["a"], the payload says ["a" "b"]`, `tags|tag "b", position 1|sequence 1 does not have this tag`},
		[]string{`UPDATE Messages SET tags = '["a","b"]' WHERE position = 1`}},
	{[]string{`UPDATE Messages SET tags = '[]' WHERE position = 3`}, []string{`columns|sequence 2|tags is not a list of texts: it has no elements`, `tags|tag "a", position 3|sequence 2 does not have this tag`},
		[]string{`UPDATE Messages SET tags = '["a"]' WHERE position = 3`}},
	{[]string{"UPDATE Messages SET tags = NULL WHERE position = 3"}, []string{`tags|tag "a", position 3|sequence 2 does not have this tag`}, nil},
	{[]string{"DELETE FROM EventTags WHERE position = 3"}, nil, []string{`UPDATE Messages SET tags = '["a"]' WHERE position = 3`}}, // as an older server stores it
	{nil, []string{`tags|tag "a", position 3|it is missing: channel "eventstore.orders" (id 1), sequence 2 has this tag`}, []string{"INSERT INTO EventTags (tag, position) VALUES ('a', 3)"}},
	{[]string{"INSERT INTO EventTags (tag, position) VALUES ('A', 3), ('a', 4), ('a', 9)"},
		[]string{`tags|tag "A", position 3|sequence 2 does not have this tag`, `tags|tag "a", position 4|does not have this tag`, `tags|tag "a", position 9|no event has this position: if it was erased`},
		[]string{"DELETE FROM EventTags WHERE position IN (4, 9) OR position = 3 AND tag <> 'a'"}},
	// Events that were numbered late come after younger ones.
	{[]string{"UPDATE Messages SET position = 8 WHERE id = 2 AND seq = 1", "UPDATE StoreLock SET position = 8", "INSERT INTO TimeSteps (position) VALUES (8)"},
		[]string{"order|sequence 2|from 2 to 2", "order|sequence 1|from 7 to 7"}, []string{"DELETE FROM TimeSteps", "UPDATE Messages SET position = 2 WHERE position = 8", "UPDATE StoreLock SET position = 6"}},
	{nil, nil, nil},
}

var disorderly = map[string][]string{
	"sqlite": {"DROP TRIGGER events_are_immutable_update", "DROP TRIGGER tags_are_immutable_delete", "DROP INDEX Idx_MsgsPosition"},
	"postgres": {"ALTER TABLE Messages DISABLE TRIGGER events_are_immutable", "ALTER TABLE EventTags DISABLE TRIGGER tags_are_immutable",
		"DROP INDEX Idx_MsgsPosition"},
	"mysql": {"DROP TRIGGER events_are_immutable_update", "DROP TRIGGER tags_are_immutable_delete", "DROP INDEX Idx_MsgsPosition ON Messages"},
}

// Verify finds what is wrong with the positions of events and with their tags.
func TestVerifyOrder(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		for _, e := range []struct {
			channel string
			tags    []string
		}{{orders, []string{"a", "b"}}, {"eventstore.other", nil}, {orders, []string{"a"}}, {orders, nil}, {"eventstore.other", []string{"b"}}, {orders, nil}} {
			publish(t, sc, e.channel, event(t, e.channel, "T", withTags(e.tags...)))
		}
		publish(t, sc, "plain", []byte("any"))
		s.Stop()
		for _, text := range disorderly[driver] {
			query(t, driver, source, text)
		}
		for _, d := range disorders {
			for _, text := range d.sql {
				query(t, driver, source, text)
			}
			r, _ := verify(t, driver, source)
			left := slices.DeleteFunc(r.Findings, func(f finding) bool { return f.Kind == "schema" })
			for _, text := range d.findings {
				parts := strings.Split(text, "|")
				at := slices.IndexFunc(left, func(f finding) bool {
					return f.Kind == parts[0] && strings.Contains(f.Key, parts[1]) && strings.Contains(f.Text, parts[2])
				})
				if at < 0 {
					t.Errorf("after %q: no %q in %+v", d.sql, text, left)
					continue
				}
				left = slices.Delete(left, at, at+1)
			}
			if len(left) > 0 {
				t.Errorf("after %q: unexpected %+v", d.sql, left)
			}
			for _, text := range d.undo {
				query(t, driver, source, text)
			}
		}
	})
}
