package storetest

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func follow(t *testing.T, o stores.Options) *stores.Follower {
	t.Helper()
	f, err := open(t, o).Follow(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// look returns the names of the channels that a look finds.
func look(t *testing.T, f *stores.Follower) string {
	t.Helper()
	changed, err := f.Look(testContext(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range changed {
		names = append(names, c.Name())
	}
	return strings.Join(names, " ")
}

// testFollower: a follower learns exactly what the leader has stored, and writes nothing.
func testFollower(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	names := []string{"eventstore.a", "eventstore.b", "plain"}
	a, b, plain := channel(t, s, names[0]), channel(t, s, names[1]), channel(t, s, names[2])
	appendAll(t, s, event{id: "e1", aggregate: "A"}.on(t, a))

	f := follow(t, o)
	same := func() {
		t.Helper()
		if f.Store.Position() != s.Position() {
			t.Fatalf("position %d, want %d", f.Store.Position(), s.Position())
		}
		for _, c := range f.Channels() {
			want := s.Channel(c.Name())
			if c.Info() != want.Info() {
				t.Fatalf("channel %q: %+v, want %+v", c.Name(), c.Info(), want.Info())
			}
			if got := len(readAll(t, f.Store, c)); got != len(readAll(t, s, want)) {
				t.Fatalf("channel %q: read %d messages", c.Name(), got)
			}
		}
		if len(f.Channels()) != len(names) {
			t.Fatalf("%d channels, want %d", len(f.Channels()), len(names))
		}
	}
	same()
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"nothing", func() {}, ""},
		{"a renewed lease", func() { _ = s.RenewLease(testContext(t)) }, ""},
		{"an event", func() { appendAll(t, s, event{aggregate: "A"}.on(t, a)) }, names[0]},
		{"events of two channels", func() { appendAll(t, s, event{aggregate: "A"}.on(t, a), event{aggregate: "A"}.on(t, b)) }, "eventstore.a eventstore.b"},
		{"an empty channel", func() { channel(t, s, "eventstore.c"); names = append(names, "eventstore.c") }, "eventstore.c"},
		{"a channel with events", func() {
			appendAll(t, s, event{aggregate: "A"}.on(t, channel(t, s, "eventstore.d")))
			names = append(names, "eventstore.d")
		}, "eventstore.d"},
		{"many events", func() { appendAll(t, s, slices.Repeat([]stores.Append{event{aggregate: "A"}.on(t, b)}, 300)...) }, names[1]},
	} {
		step.do()
		if got := look(t, f); got != step.want {
			t.Errorf("%s: found %q, want %q", step.what, got, step.want)
		}
		same()
	}
	appendAll(t, s, stores.Append{Channel: plain}) // has no position
	if got := look(t, f); got != "" {
		t.Errorf("a plain message: found %q", got)
	}

	found, err := f.Store.EventsWithID(testContext(t), "e1")
	if err != nil || len(found) != 1 || found[0].Channel != f.Store.Channel("eventstore.a") {
		t.Errorf("event by ID: %v %v", found, err)
	}
	events, _, err := f.Store.ReadAggregate(testContext(t), stores.Aggregate{Channel: f.Store.Channel("eventstore.a"), ID: "A"}, 1, false, 10, 1<<20)
	if err != nil || len(events) != 3 {
		t.Errorf("aggregate: %v %v", events, err)
	}
	_, err = f.Store.CreateChannel(testContext(t), "eventstore.x")
	expectError(t, err, stores.ErrFenced)
	_, err = f.Store.Append(testContext(t), []stores.Append{event{aggregate: "A"}.on(t, f.Store.Channel("eventstore.a"))})
	expectError(t, err, stores.ErrFenced)
	expect(t, appendAll(t, s, event{aggregate: "A"}.on(t, a)), "4")

}

// testFollowerRefuses: a follower tells nothing of a database that it cannot follow exactly.
func testFollowerRefuses(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	db := raw(t, o)
	a := channel(t, s, "eventstore.a")
	appendAll(t, s, event{aggregate: "A"}.on(t, a), event{aggregate: "A"}.on(t, a))
	f := follow(t, o)

	exec(t, db, "UPDATE StoreLock SET position = NULL")
	_, err := f.Look(testContext(t), nil)
	expectError(t, err, stores.ErrUnavailable)
	_, err = open(t, o).Follow(testContext(t))
	expectError(t, err, stores.ErrUnavailable)
	exec(t, db, "UPDATE StoreLock SET position = 2")
	if got := look(t, f); got != "" {
		t.Errorf("found %q", got)
	}

	exec(t, db, "UPDATE StoreLock SET position = 1")
	_, err = f.Look(testContext(t), nil)
	expectError(t, err, stores.ErrRewound)
	exec(t, db, "UPDATE StoreLock SET position = 2")

	// Another server takes the lease. It may be of an older version, or of a newer one that has migrated the schema.
	exec(t, db, "INSERT INTO Messages (id, seq, timestamp, size, data, event_type, aggregate_id, event_version) VALUES (1, 3, 3, 1, 'x', 'T', 'A', 3)")
	exec(t, db, "UPDATE StoreLock SET id = 'other'")
	_, err = f.Look(testContext(t), nil)
	expectError(t, err, stores.ErrUnavailable)
	exec(t, db, "DELETE FROM goose_db_version WHERE version_id >= 10")
	var behind *stores.SchemaError
	if _, err = f.Look(testContext(t), nil); !errors.As(err, &behind) {
		t.Errorf("look: %v", err)
	}
	if _, err = open(t, o).Follow(testContext(t)); !errors.As(err, &behind) {
		t.Errorf("follow: %v", err)
	}
}
