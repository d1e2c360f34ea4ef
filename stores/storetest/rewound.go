package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// rewinding saves the database's present state. rewind restores it, like an administrator who loads a dump under the
// running server.
func rewinding(t *testing.T, o stores.Options) (rewind func()) {
	t.Helper()
	db := raw(t, o)
	tables := []string{"Messages", "Channels"}
	columns := map[string]string{
		"Messages": "id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags",
		"Channels": "id, name, maxseq, msgs, bytes, deleted",
	}
	for _, table := range tables {
		exec(t, db, "DROP TABLE IF EXISTS kept_"+table)
		exec(t, db, fmt.Sprintf("CREATE TABLE kept_%s AS SELECT %s FROM %s", table, columns[table], table))
	}
	drop := []string{"DROP TRIGGER IF EXISTS events_are_immutable_delete"}
	if o.Driver == "postgres" {
		drop = []string{"ALTER TABLE Messages DISABLE TRIGGER ALL"}
	}
	return func() {
		t.Helper()
		for _, text := range slices.Concat(drop, []string{"DELETE FROM Messages", "DELETE FROM Channels"}) {
			exec(t, db, text)
		}
		for _, table := range tables {
			exec(t, db, fmt.Sprintf("INSERT INTO %[1]s (%[2]s) SELECT %[2]s FROM kept_%[1]s", table, columns[table]))
		}
	}
}

// testRewound: a server whose database goes back in time acknowledges nothing on top of what it remembers. It reads the
// new state and continues from there.
func testRewound(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	names := []string{"eventstore.a", "eventstore.b"}
	created := func(i int) *stores.Channel { return channel(t, s, names[i]) }
	one := func() []stores.Append { return []stores.Append{event{aggregate: "A"}.on(t, created(0))} }
	for _, test := range []struct {
		name  string
		batch func() []stores.Append
	}{
		{"one", one},
		{"several", func() []stores.Append { return slices.Concat(one(), one(), one()) }},
		{"two channels", func() []stores.Append { return append(one(), event{aggregate: "A"}.on(t, created(1))) }},
		{"large", func() []stores.Append { return slices.Repeat(one(), 300) }},
		{"large, two channels", func() []stores.Append {
			return append(slices.Repeat(one(), 300), event{aggregate: "A"}.on(t, created(1)))
		}},
	} {
		before := created(0).Info()
		appendAll(t, s, append(one(), event{aggregate: "A"}.on(t, created(1)))...)
		kept := created(0).Info()
		rewind := rewinding(t, o)
		appendAll(t, s, slices.Concat(one(), one())...)
		channel(t, s, "gone "+test.name)
		rewind()
		results, err := s.Append(testContext(t), test.batch())
		expectError(t, err, stores.ErrRewound)
		for _, r := range results {
			expectError(t, r.Err, stores.ErrRewound)
			expectError(t, r.Err, stores.ErrFenced)
		}
		// It writes nothing else either.
		expectError(t, s.RenewLease(testContext(t)), stores.ErrRewound)
		_, err = s.Append(testContext(t), []stores.Append{{Channel: created(1)}})
		expectError(t, err, stores.ErrRewound)

		held, _, err := s.TryLease(testContext(t), "server", stores.Lease{})
		if err != nil || !held {
			t.Fatalf("%s: held %v, error %v", test.name, held, err)
		}
		if _, err := s.Recover(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if s.Channel("gone "+test.name) != nil {
			t.Errorf("%s: a missing channel is still known", test.name)
		}
		if got := created(0).Info(); got != kept || got.Last != before.Last+1 {
			t.Errorf("%s: recovered %+v, want %+v", test.name, got, kept)
		}
		r := appendAll(t, s, one()...)[0]
		if r.Sequence != kept.Last+1 || r.Version != kept.Last+1 {
			t.Errorf("%s: stored as %d with version %d, want %d", test.name, r.Sequence, r.Version, kept.Last+1)
		}
		readAll(t, s, created(0))
	}
}

// testRewoundInDoubt: a batch with an unknown outcome does not hide that the database went back in time.
func testRewoundInDoubt(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	appendAll(t, s, stores.Append{Channel: c}, stores.Append{Channel: c})
	rewind := rewinding(t, o)
	appendAll(t, s, stores.Append{Channel: c})
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	faults.Commits(LostBefore)
	faults.GoneAfterCommit(cancel)
	_, err := s.Append(ctx, []stores.Append{{Channel: c}})
	expectError(t, err, stores.ErrOutcomeUnknown)
	faults.Clear()
	rewind()
	_, err = s.Append(testContext(t), []stores.Append{{Channel: c}})
	expectError(t, err, stores.ErrRewound)
}
