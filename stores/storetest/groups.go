package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// grouped makes messages a group.
func grouped(expect []stores.Expectation, messages ...stores.Append) []stores.Append {
	g := &stores.Group{Expect: expect}
	for i := range messages {
		messages[i].Group = g
	}
	return messages
}

// testGroups: a group is stored as a whole or not at all, what it expects holds, and its neighbours are unaffected.
func testGroups(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	on := func(e event) stores.Append { return e.on(t, c) }
	at := func(aggregate string, version uint64) stores.Append {
		return on(event{aggregate: aggregate, version: version})
	}
	is := func(aggregate string, version uint64) stores.Expectation {
		return stores.Expectation{AggregateID: aggregate, State: stores.ExpectVersion, Version: version}
	}
	none := func(aggregate string) stores.Expectation { return stores.Expectation{AggregateID: aggregate} }
	exists := func(aggregate string) stores.Expectation {
		return stores.Expectation{AggregateID: aggregate, State: stores.ExpectExists}
	}

	// Two aggregates; the next group sees the first; the last one of a third group is wrong.
	expect(t, appendAll(t, s, slices.Concat(
		grouped([]stores.Expectation{none("A"), none("B"), none("C")}, at("A", 0), at("B", 1), at("A", 2)),
		grouped([]stores.Expectation{is("A", 2), exists("B"), none("C")}, at("A", 0), at("A", 0)),
		[]stores.Append{at("A", 0)},
		grouped(nil, at("A", 0), at("C", 0), at("A", 5)),
		[]stores.Append{at("A", 0), at("C", 1)},
	)...), "1", "2", "3", "4", "5", "6", wrong("A", 5, 5), wrong("A", 5, 5), wrong("A", 5, 5), "7", "8")

	// Expectations that fail: of aggregates written, of others, and of a group beside it that was refused.
	for _, test := range []struct {
		expectation stores.Expectation
		want        string
	}{
		{none("A"), `wrong expected version: aggregate "A" is at version 6, none is expected`},
		{is("A", 5), `wrong expected version: aggregate "A" is at version 6, version 5 is expected`},
		{exists("D"), `wrong expected version: aggregate "D" is at version 0, one that exists is expected`},
		{is("B", 2), `wrong expected version: aggregate "B" is at version 1, version 2 is expected`},
	} {
		before := c.Info()
		expect(t, appendAll(t, s, grouped([]stores.Expectation{exists("C"), test.expectation}, at("A", 0), at("D", 0))...), test.want, test.want)
		if c.Info() != before {
			t.Fatalf("a refused group changed the channel: %+v, was %+v", c.Info(), before)
		}
	}

	// Sent again, alone and in the batch of the first, a group gets the first answer, whatever it expects.
	first := func() []stores.Append {
		return grouped([]stores.Expectation{is("A", 6), none("E")}, on(event{id: "1", aggregate: "A"}), on(event{id: "2", aggregate: "E"}))
	}
	expect(t, appendAll(t, s, slices.Concat(first(), first())...), "9", "10", "dup 9", "dup 10")
	again := appendAll(t, s, first()...)
	expect(t, again, "dup 9", "dup 10")
	if again[0].Version != 7 || again[1].Version != 1 {
		t.Fatalf("versions %d and %d of duplicates", again[0].Version, again[1].Version)
	}
	s, _ = restart(t, s, o) // memory is empty
	c = s.Channel("eventstore.c")
	expect(t, appendAll(t, s, first()...), "dup 9", "dup 10")
	partly := "some of the events are already stored, others are not: 1 of 2"
	expect(t, appendAll(t, s, grouped(nil, on(event{id: "1", aggregate: "A"}), on(event{id: "3", aggregate: "E"}))...), partly, partly)
	expect(t, appendAll(t, s, grouped(nil, on(event{id: "3", aggregate: "E"}), on(event{id: "2", aggregate: "E"}))...), partly, partly)
	other := `event_id "2" already stored with different content`
	expect(t, appendAll(t, s, grouped(nil, on(event{id: "3", aggregate: "E"}), on(event{id: "2", aggregate: "F"}))...), other, other)
	twice := `event_id "3" already stored with different content`
	expect(t, appendAll(t, s, grouped(nil, on(event{id: "3", aggregate: "E"}), on(event{id: "3", aggregate: "E"}))...), twice, twice)

	// Someone wrote A and E with plain SQL, unknown to memory.
	db := raw(t, o)
	insertBeside(t, o, db, c, 11, event{aggregate: "A", version: 8}, 8)
	insertBeside(t, o, db, c, 12, event{aggregate: "E", version: 2}, 2)
	stale := `wrong expected version: aggregate "A" is at version 8, version 7 is expected`
	expect(t, appendAll(t, s, slices.Concat(
		grouped([]stores.Expectation{is("A", 7)}, at("A", 0), at("G", 0)),
		grouped([]stores.Expectation{is("E", 2)}, at("G", 1)))...), stale, stale, "13")
	readAll(t, s, c)
}

// testGroupsRefused: if the database refuses a row of a group, it refuses the whole group, wherever the batch is
// halved.
func testGroupsRefused(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	refuse(t, o)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 12 {
		var batch []stores.Append
		var bad []bool // by message: its group contains a row that the database refuses
		for len(batch) < 20 {
			size, refused := 1+random.IntN(6), random.IntN(3) == 0
			messages := make([]stores.Append, size)
			culprit := random.IntN(size)
			for i := range messages {
				e := event{aggregate: fmt.Sprint("a", random.IntN(3))}
				if refused && i == culprit {
					e.typ = "Forbidden"
				}
				messages[i] = e.on(t, c)
				bad = append(bad, refused)
			}
			if size > 1 {
				messages = grouped(nil, messages...)
			}
			batch = append(batch, messages...)
		}
		next := c.Info().Last
		for i, r := range appendAll(t, s, batch...) {
			if bad[i] {
				expectError(t, r.Err, stores.ErrRefused)
				continue
			}
			if next++; r.Err != nil || r.Sequence != next {
				t.Fatalf("message %d: %s, want sequence %d", i, outcome(r), next)
			}
		}
	}
	readAll(t, s, c)
	for i := range 3 {
		versions := strings.Fields(columns(t, o, fmt.Sprint("a", i)))
		for at, version := range versions {
			if version != fmt.Sprint(at+1) {
				t.Fatalf("versions of a%d: %v", i, versions)
			}
		}
	}
}

// testGroupCommitLost: whatever the fate of a COMMIT, a group exists once and as a whole.
func testGroupCommitLost(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	t.Cleanup(faults.Wait)
	for i, fault := range []CommitFault{LostBefore, LostAfter, LateCommit} {
		if o.Driver == "sqlite" && fault == LateCommit {
			fault = LostAfter
		}
		faults.Commits(fault)
		group := func() []stores.Append {
			version := uint64(i)
			expected := stores.Expectation{AggregateID: "A", State: stores.ExpectVersion, Version: version}
			return grouped([]stores.Expectation{expected},
				event{aggregate: "A", id: fmt.Sprint("a", i)}.on(t, c), event{aggregate: "B", id: fmt.Sprint("b", i)}.on(t, c))
		}
		one, two := 2*i+1, 2*i+2
		expect(t, appendAll(t, s, group()...), fmt.Sprint(one), fmt.Sprint(two))
		if faults.Left() > 0 {
			t.Fatal("the fault did not happen")
		}
		expect(t, appendAll(t, s, group()...), fmt.Sprint("dup ", one), fmt.Sprint("dup ", two))
	}
	readAll(t, s, c)
}
