package storetest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// inOrder returns the events of the database in their order, as "channel/sequence", separated by spaces. It checks that positions
// run from 1 to the last one without a hole, that times do not step back but where TimeSteps says so, that each channel is in the
// order of its sequences unless allowed, and that EventTags holds the tags of the events.
func inOrder(t *testing.T, s *stores.Store, o stores.Options, late ...string) string {
	t.Helper()
	db := raw(t, o)
	steps := strings.Fields(rowsText(t, o, "SELECT position FROM TimeSteps"))
	tagged := strings.Fields(rowsText(t, o, "SELECT tag, position FROM EventTags"))
	rows, err := db.QueryContext(testContext(t), "SELECT m.position, c.name, m.seq, m.timestamp, m.tags FROM Messages AS m JOIN Channels AS c ON c.id = m.id WHERE m.event_type IS NOT NULL OR m.position IS NOT NULL ORDER BY m.position")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	last, before, want := map[string]uint64{}, int64(0), map[string]int{}
	for rows.Next() {
		var position sql.NullInt64
		var name string
		var sequence uint64
		var timestamp int64
		var list []byte
		if err := rows.Scan(&position, &name, &sequence, &timestamp, &list); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s/%d", strings.TrimPrefix(name, "eventstore."), sequence))
		if position.Int64 != int64(len(all)) {
			t.Fatalf("position %d of %s, want %d", position.Int64, all[len(all)-1], len(all))
		}
		stepped := slices.Contains(steps, fmt.Sprint(position.Int64))
		if timestamp < before != stepped {
			t.Errorf("position %d has time %d after %d, step %v", position.Int64, timestamp, before, stepped)
		}
		if sequence <= last[name] && !slices.Contains(late, name) {
			t.Errorf("position %d has sequence %d of %s, after %d", position.Int64, sequence, name, last[name])
		}
		before, last[name] = timestamp, sequence
		var tags []string
		if list != nil {
			if err := json.Unmarshal(list, &tags); err != nil {
				t.Fatal(err)
			}
		}
		for _, tag := range tags {
			want[fmt.Sprint(tag, " ", position.Int64)]++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(tagged); i += 2 {
		want[tagged[i]+" "+tagged[i+1]]--
	}
	for tag, n := range want {
		if n != 0 {
			t.Errorf("tag and position %s: missing in EventTags %d times", tag, n)
		}
	}
	if got := queryText(t, db, "SELECT position FROM StoreLock"); got != fmt.Sprint(len(all)) || s.Position() != uint64(len(all)) {
		t.Errorf("the last position is %s, in memory %d, want %d", got, s.Position(), len(all))
	}
	return strings.Join(all, " ")
}

// positions returns the positions of results.
func positions(results []stores.Result) (all []uint64) {
	for _, r := range results {
		all = append(all, r.Position)
	}
	return all
}

// testOrder: events get positions without a hole over all channels, in the order of commits. Nothing else does.
func testOrder(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a, b, plain := channel(t, s, "eventstore.a"), channel(t, s, "eventstore.b"), channel(t, s, "plain")
	refuse(t, o)
	expectPositions := func(results []stores.Result, want ...uint64) {
		t.Helper()
		if got := positions(results); !slices.Equal(got, want) {
			t.Fatalf("positions %d, want %d", got, want)
		}
		for _, r := range results {
			if !r.Duplicate && r.Message.Position != r.Position || slices.ContainsFunc(r.Copies, func(m stores.Message) bool { return m.Position != 0 }) {
				t.Errorf("position %d, message %d, copies %v", r.Position, r.Message.Position, r.Copies)
			}
		}
	}
	message := stores.Append{Channel: plain, Payload: []byte("x")}
	expectPositions(appendAll(t, s, event{aggregate: "A", id: "1", tags: []string{"x", "y"}}.on(t, a), message, event{aggregate: "A"}.on(t, b), event{aggregate: "A"}.copied(t, a, plain, plain)),
		1, 0, 2, 3)
	expectPositions(appendAll(t, s, message), 0)
	// What is not stored takes no position: a wrong version, a duplicate, one that the database refuses, a group.
	group := grouped(nil, event{aggregate: "B"}.on(t, b), event{aggregate: "A", version: 9}.on(t, a))
	refused := grouped(nil, event{aggregate: "B"}.on(t, b), event{aggregate: "C", typ: "Forbidden", tags: []string{"z"}}.on(t, a))
	batch := []stores.Append{
		event{aggregate: "A", version: 9}.on(t, b), event{aggregate: "A", id: "1", tags: []string{"x", "y"}}.on(t, a), event{aggregate: "A", id: "2"}.on(t, b),
		event{aggregate: "A", typ: "Forbidden", tags: []string{"x"}}.on(t, a), event{aggregate: "A", id: "2"}.on(t, b), event{aggregate: "A", id: "2"}.on(t, a),
	}
	batch = append(append(append(batch, group...), refused...), event{aggregate: "B", tags: []string{"y"}}.on(t, b))
	expectPositions(appendAll(t, s, batch...), 0, 1, 4, 0, 4, 5, 0, 0, 0, 0, 6)
	want := "a/1 b/1 a/2 b/2 a/3 b/3"
	if got := inOrder(t, s, o); got != want {
		t.Fatalf("order %s, want %s", got, want)
	}
	s, _ = restart(t, s, o)
	expectPositions(appendAll(t, s, event{aggregate: "A", id: "2"}.on(t, s.Channel("eventstore.a")), event{aggregate: "C"}.on(t, s.Channel("eventstore.b"))), 5, 7)
	if got := inOrder(t, s, o); got != want+" b/4" {
		t.Errorf("order %s", got)
	}
	messages, err := s.Read(testContext(t), s.Channel("eventstore.b"), 2, 4, 10, 1<<20)
	if err != nil || len(messages) != 3 || messages[0].Position != 4 || messages[2].Position != 7 {
		t.Errorf("read %+v (%v)", messages, err)
	}
}

// testOrderOfTimes: times do not step back along positions, whichever channel the last event is on.
func testOrderOfTimes(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a, b, c, plain := channel(t, s, "eventstore.a"), channel(t, s, "eventstore.b"), channel(t, s, "eventstore.c"), channel(t, s, "plain")
	s.Close()
	ahead := time.Now().Add(time.Hour).UnixNano() // the clock of the last server
	older{t, o}.write(a, ahead, event{aggregate: "A"})
	s, _ = lead(t, o)
	results := appendAll(t, s, event{aggregate: "A"}.on(t, s.Channel(b.Name())), stores.Append{Channel: s.Channel(plain.Name())}, event{aggregate: "A"}.on(t, s.Channel(c.Name())))
	if results[0].Message.Timestamp != ahead || results[1].Message.Timestamp >= ahead || results[2].Message.Timestamp != ahead {
		t.Errorf("times %d, %d, %d, want %d for events only", results[0].Message.Timestamp, results[1].Message.Timestamp, results[2].Message.Timestamp, ahead)
	}
	if got := inOrder(t, s, o); got != "a/1 b/1 c/1" {
		t.Errorf("order %s", got)
	}
}

// testOrderInDoubt: whatever the fate of a COMMIT, positions have no hole and none is used twice.
func testOrderInDoubt(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	t.Cleanup(faults.Wait)
	s, _ := lead(t, o)
	a, b := channel(t, s, "eventstore.a"), channel(t, s, "eventstore.b")
	batch := func(id string) []stores.Append {
		return []stores.Append{event{aggregate: "A", id: id, tags: []string{"x"}}.on(t, a), event{aggregate: "A", id: id}.on(t, b), event{aggregate: "B", tags: []string{"y"}}.on(t, a)}
	}
	var want []string
	stored := func(channel string) {
		n := 1
		for _, event := range want {
			if strings.HasPrefix(event, channel) {
				n++
			}
		}
		want = append(want, fmt.Sprintf("%s/%d", channel, n))
	}
	for i, fault := range commitFaults(o) {
		faults.Commits(fault)
		appendAll(t, s, batch(fmt.Sprint("known ", i))...)
		stored("a")
		stored("b")
		stored("a")
		id := fmt.Sprint("unknown ", i)
		withUnknownOutcome(t, &faults, fault, func(ctx context.Context) error {
			_, err := s.Append(ctx, batch(id))
			return err
		})
		faults.Wait()
		if fault != LostBefore {
			stored("a")
			stored("b")
			stored("a")
		}
		// Another event comes first, then the batch is sent again.
		appendAll(t, s, event{aggregate: "C"}.on(t, b))
		stored("b")
		results := appendAll(t, s, batch(id)[:2]...)
		if fault == LostBefore {
			stored("a")
			stored("b")
		}
		for i, channel := range []string{"a", "b"} {
			if at := fmt.Sprintf("%s/%d", channel, results[i].Sequence); want[results[i].Position-1] != at {
				t.Errorf("%s has position %d", at, results[i].Position)
			}
		}
		if got := inOrder(t, s, o); got != strings.Join(want, " ") {
			t.Fatalf("order %s, want %s", got, want)
		}
	}
	s, _ = restart(t, s, o)
	if got := inOrder(t, s, o); got != strings.Join(want, " ") {
		t.Fatalf("order %s, want %s", got, want)
	}
}

// testOrderRewound: a server notices that the order went back in time, also on channels that did not.
func testOrderRewound(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a, b := channel(t, s, "eventstore.a"), channel(t, s, "eventstore.b")
	appendAll(t, s, event{aggregate: "A"}.on(t, a), event{aggregate: "A"}.on(t, b))
	rewind := rewinding(t, o)
	appendAll(t, s, event{aggregate: "A"}.on(t, a))
	rewind()
	exec(t, raw(t, o), "UPDATE StoreLock SET position = 2")
	for range 2 {
		_, err := s.Append(testContext(t), []stores.Append{event{aggregate: "A"}.on(t, b)})
		expectError(t, err, stores.ErrRewound)
	}
	if held, _, err := s.TryLease(testContext(t), "server", stores.Lease{}); err != nil || !held {
		t.Fatalf("held %v, error %v", held, err)
	}
	if _, err := s.Recover(testContext(t)); err != nil {
		t.Fatal(err)
	}
	appendAll(t, s, event{aggregate: "A"}.on(t, s.Channel("eventstore.b")), event{aggregate: "A"}.on(t, s.Channel("eventstore.a")))
	if got := inOrder(t, s, o); got != "a/1 b/1 b/2 a/2" {
		t.Errorf("order %s", got)
	}
}

// testOrderErased: the position of an erased event is not used again, even if it was the last one.
func testOrderErased(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a, b := channel(t, s, "eventstore.a"), channel(t, s, "eventstore.b")
	appendAll(t, s, event{aggregate: "A"}.on(t, a), event{aggregate: "A"}.on(t, b), event{aggregate: "B"}.on(t, a))
	s.Close()
	db := raw(t, o)
	if o.Driver == "postgres" {
		exec(t, db, "ALTER TABLE Messages DISABLE TRIGGER events_are_not_deleted")
	} else {
		exec(t, db, "DROP TRIGGER events_are_immutable_delete")
	}
	exec(t, db, "UPDATE Channels SET msgs = 1, bytes = 1 WHERE name = 'eventstore.a'")
	exec(t, db, "DELETE FROM Messages WHERE aggregate_id = 'B'")
	s, _ = lead(t, o)
	if got := s.Position(); got != 3 {
		t.Errorf("position %d, want 3", got)
	}
	if got := positions(appendAll(t, s, event{aggregate: "C"}.on(t, s.Channel("eventstore.b")))); got[0] != 4 {
		t.Errorf("position %d, want 4", got)
	}
}

// testOrderImmutable: an event that has no position gets one. That is the only change of an event, and its tags do not change.
func testOrderImmutable(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a, plain := channel(t, s, "eventstore.a"), channel(t, s, "plain")
	appendAll(t, s, event{aggregate: "A", tags: []string{"x"}}.on(t, a), stores.Append{Channel: plain})
	older{t, o}.write(a, 1, event{aggregate: "B"})
	db := raw(t, o)
	set := "UPDATE Messages SET position = 2"
	refused := []string{
		"UPDATE Messages SET position = 3 WHERE position = 1", "UPDATE Messages SET position = NULL WHERE position = 1", "UPDATE Messages SET position = position",
		"UPDATE Messages SET position = NULL WHERE seq = 2", "UPDATE Messages SET tags = NULL WHERE position = 1",
		"UPDATE EventTags SET tag = 'z'", "UPDATE EventTags SET position = 2", "DELETE FROM EventTags",
	}
	for column, value := range map[string]string{
		"id": "3", "seq": "7", "timestamp": "2", "size": "3", "data": "NULL", "event_id": "'i'", "aggregate_type": "'t'", "aggregate_id": "'b'", "event_version": "7",
		"event_type": "NULL", "event_data": "'{}'", "metadata": "'{}'", "tags": `'["z"]'`,
	} {
		refused = append(refused, fmt.Sprintf("%s, %s = %s WHERE seq = 2", set, column, value))
	}
	if o.Driver == "postgres" {
		refused = append(refused, "TRUNCATE EventTags")
	}
	for _, text := range refused {
		if _, err := db.ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
			t.Errorf("%s: %v", text, err)
		}
	}
	exec(t, db, set+" WHERE seq = 2")
	for _, text := range []string{set + " WHERE seq = 2", "UPDATE Messages SET position = 3 WHERE seq = 2"} {
		if _, err := db.ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
			t.Errorf("%s, again: %v", text, err)
		}
	}
	if got := strings.Join(strings.Fields(rowsText(t, o, "SELECT seq, position, event_data FROM Messages WHERE id = "+fmt.Sprint(a.ID())+" ORDER BY seq")), " "); !strings.HasPrefix(got, "1 1") || !strings.Contains(got, " 2 2") {
		t.Errorf("events %s", got)
	}
}
