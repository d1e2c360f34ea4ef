package storetest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// unnumbered is an event that has no position yet.
type unnumbered struct {
	channel   *stores.Channel
	sequence  uint64
	timestamp int64
}

func (e unnumbered) String() string {
	return fmt.Sprintf("%s/%d", strings.TrimPrefix(e.channel.Name(), "eventstore."), e.sequence)
}

// numbered returns events in the order in which they get positions: by time, channel and sequence. An event that is older than
// one before it on its channel follows that one. The events of a channel are in the order of their sequences.
func numbered(events []unnumbered) []string {
	type key struct {
		latest int64 // time of the events of the channel up to this one
		unnumbered
	}
	latest := map[int64]int64{}
	var keys []key
	for _, e := range events {
		id := e.channel.ID()
		latest[id] = max(latest[id], e.timestamp)
		keys = append(keys, key{latest[id], e})
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.latest, b.latest), cmp.Compare(a.channel.ID(), b.channel.ID()), cmp.Compare(a.sequence, b.sequence))
	})
	var all []string
	for _, k := range keys {
		all = append(all, k.String())
	}
	return all
}

// numbersRead matches the statement that reads events without positions.
func numbersRead(text string) bool {
	return strings.Contains(text, "AND position IS NULL ORDER BY seq")
}

// testNumbering: events that an older server wrote get positions when the lease is taken, after all others. It plays random
// histories of both servers, and of COMMITs lost meanwhile, against a sort in memory.
func testNumbering(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	t.Cleanup(faults.Wait)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s, _ := lead(t, o)
	var names []string
	for i := range 2 + random.IntN(6) {
		names = append(names, fmt.Sprint("eventstore.", i))
		channel(t, s, names[i])
	}
	var want []string
	for range 8 {
		for range random.IntN(4) { // this server
			var batch []stores.Append
			for range 1 + random.IntN(5) {
				batch = append(batch, event{aggregate: "A"}.on(t, s.Channel(names[random.IntN(len(names))])))
			}
			for i, r := range appendAll(t, s, batch...) {
				want = append(want, unnumbered{channel: batch[i].Channel, sequence: r.Sequence}.String())
			}
		}
		s.Close()
		// The older one, whose clock jumps.
		channels := map[string]*stores.Channel{}
		for _, name := range names {
			channels[name] = s.Channel(name)
		}
		late := older{t, o}.writeRandom(channels, names, random, random.IntN(40))
		want = append(want, numbered(late)...)

		s = open(t, o)
		if held, _, err := s.TryLease(testContext(t), "server", stores.Lease{}); err != nil || !held {
			t.Fatalf("held %v, error %v", held, err)
		}
		if fault := commitFaults(o)[random.IntN(len(commitFaults(o)))]; random.IntN(2) == 0 {
			faults.Before(func(text string) {
				if numbersRead(text) && faults.Left() == 0 {
					faults.Commits(fault)
				}
			})
		}
		if _, err := s.Recover(testContext(t)); err != nil {
			t.Fatal(err)
		}
		faults.Before(nil)
		faults.Clear()
		if got := inOrder(t, s, o); got != strings.Join(want, " ") {
			t.Fatalf("order\n%s, want\n%s", got, strings.Join(want, " "))
		}
	}
}

// testFirstNumbering: a database of an older server is numbered as a whole. If that is interrupted, it continues, and the result is
// the same.
func testFirstNumbering(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	t.Cleanup(faults.Wait)
	s, _ := lead(t, o)
	plain := channel(t, s, "plain")
	appendAll(t, s, stores.Append{Channel: plain})
	const channels, events = 20, 20
	var late []unnumbered
	for i := range channels {
		c := channel(t, s, fmt.Sprint("eventstore.", i))
		batch := make([]stores.Append, events)
		if i == 1 {
			batch = make([]stores.Append, 2600) // more than one transaction numbers, and one statement reads
		}
		for j := range batch {
			batch[j] = event{aggregate: fmt.Sprint(i, "-", j)}.on(t, c)
			late = append(late, unnumbered{c, uint64(j + 1), (int64(j+1)*7919 + c.ID()*104729) % 1000})
		}
		appendAll(t, s, batch...)
	}
	want := strings.Join(numbered(late), " ")
	s.Close()
	takePositions(t, o)
	db := raw(t, o)
	exec(t, db, "UPDATE Messages SET timestamp = (seq * 7919 + id * 104729) % 1000 WHERE event_type IS NOT NULL")
	exec(t, db, "DELETE FROM goose_db_version WHERE version_id >= 10")

	done := func() string { return queryText(t, db, "SELECT COUNT(*) FROM Messages WHERE position IS NOT NULL") }
	// A user interrupts it, and then the database fails at a COMMIT.
	for _, interrupt := range []func(cancel func()) func(string){
		func(cancel func()) func(string) {
			return func(text string) {
				if numbersRead(text) && done() != "0" { // after the first transaction
					cancel()
				}
			}
		},
		func(cancel func()) func(string) {
			return func(text string) {
				if numbersRead(text) && faults.Left() == 0 {
					faults.Commits(LostAfter)
					faults.GoneAfterCommit(cancel)
				}
			}
		},
	} {
		s = open(t, o)
		if held, _, err := s.TryLease(testContext(t), "server", stores.Lease{}); err != nil || !held {
			t.Fatalf("held %v, error %v", held, err)
		}
		ctx, cancel := context.WithCancel(testContext(t))
		faults.Before(interrupt(cancel))
		_, err := s.Recover(ctx)
		faults.Before(nil)
		faults.Clear()
		cancel()
		if err == nil {
			t.Fatal("it was not interrupted")
		}
		s.Close()
		if got := queryText(t, db, "SELECT COUNT(*) FROM StoreLock WHERE position IS NULL"); got != "1" {
			t.Error("the order has begun")
		}
		if got := done(); got != "2000" && got != fmt.Sprint(len(late)) {
			t.Errorf("%s events have positions", got)
		}
	}
	s, _ = lead(t, o)
	if got := inOrder(t, s, o); got != want {
		t.Errorf("order\n%s, want\n%s", got, want)
	}
	appendAll(t, s, stores.Append{Channel: s.Channel("plain")}, event{aggregate: "new"}.on(t, s.Channel("eventstore.0")))
	if got := inOrder(t, s, o); got != want+fmt.Sprint(" 0/", events+1) {
		t.Errorf("order\n%s", got)
	}
	s, _ = restart(t, s, o)
	inOrder(t, s, o)
}

// testOrderOfBackfill: messages that become events get positions after all others, and their tags. Rows that the database refuses
// leave no hole.
func testOrderOfBackfill(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	t.Cleanup(faults.Wait)
	s, _ := lead(t, o)
	a, b, old := channel(t, s, "eventstore.a"), channel(t, s, "eventstore.b"), channel(t, s, "old")
	appendAll(t, s, event{aggregate: "A", tags: []string{"x"}}.on(t, a))
	for i := range 20 {
		e := event{aggregate: fmt.Sprint(i), tags: []string{"x", "y"}}
		if i == 7 || i == 12 {
			e.typ = "Forbidden"
		}
		appendAll(t, s, asPlain(e.on(t, old)))
	}
	appendAll(t, s, event{aggregate: "A"}.on(t, b), event{aggregate: "new"}.on(t, old)) // old is an event channel now
	refuse(t, o)
	if o.Driver == "sqlite" {
		exec(t, raw(t, o), "CREATE TRIGGER forbidden_update BEFORE UPDATE ON Messages WHEN NEW.event_type = 'Forbidden' BEGIN SELECT RAISE(ABORT, 'forbidden'); END")
	}
	faults.Commits(LostBefore, LostAfter)
	filled, left := fill(t, s, old, stores.VersionsStrict)
	if filled != 18 || len(left) != 2 || faults.Left() > 0 {
		t.Errorf("filled %d, left %q, %d faults", filled, left, faults.Left())
	}
	want := "a/1 b/1 old/21"
	for i := range 20 {
		if i != 7 && i != 12 {
			want += fmt.Sprint(" old/", i+1)
		}
	}
	if got := inOrder(t, s, o, "old"); got != want {
		t.Errorf("order\n%s, want\n%s", got, want)
	}
	if got := strings.TrimSpace(rowsText(t, o, "SELECT position FROM TimeSteps")); got != "4" {
		t.Errorf("steps %s", got)
	}
	if got := queryText(t, raw(t, o), "SELECT COUNT(*) FROM EventTags"); got != "37" {
		t.Errorf("%s tags", got)
	}
	results := appendAll(t, s, event{aggregate: "B"}.on(t, a), event{aggregate: "B"}.on(t, old))
	if results[0].Position != 22 || results[1].Position != 23 {
		t.Errorf("positions %d", positions(results))
	}
	s, _ = restart(t, s, o)
	if got := inOrder(t, s, o, "old"); got != want+" a/2 old/22" {
		t.Errorf("order\n%s", got)
	}
}

// testNumberAll: events that another program wrote between those of this server get positions if Recover looks everywhere.
func testNumberAll(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a, b := channel(t, s, "eventstore.a"), channel(t, s, "eventstore.b")
	appendAll(t, s, event{aggregate: "A"}.on(t, a))
	db := raw(t, o)
	insertBeside(t, o, db, a, 2, event{aggregate: "A"}, 2)
	insertBeside(t, o, db, a, 3, event{aggregate: "A"}, 3)
	s, _ = restart(t, s, o) // numbers both, because they are at the end
	a, b = s.Channel(a.Name()), s.Channel(b.Name())
	insertBeside(t, o, db, a, 4, event{aggregate: "B"}, 1)
	if results := appendAll(t, s, event{aggregate: "A"}.on(t, a), event{aggregate: "A"}.on(t, b)); results[0].Sequence != 5 || results[1].Position != 5 {
		t.Fatalf("results %+v", results)
	}
	s, _ = restart(t, s, o)
	if got := s.Position(); got != 5 {
		t.Errorf("position %d, want 5", got)
	}
	var told []stores.Numbering
	o.NumberAll, o.Numbering = true, func(n stores.Numbering) {
		if !n.Chaining {
			told = append(told, n)
		}
	}
	s, _ = restart(t, s, o)
	if got := inOrder(t, s, o, a.Name()); got != "a/1 a/2 a/3 a/5 b/1 a/4" {
		t.Errorf("order %s", got)
	}
	if len(told) != 1 || !told[0].Finished || told[0].Done != 1 || told[0].Most != 6 {
		t.Errorf("told %+v", told)
	}
	appendAll(t, s, event{aggregate: "A"}.on(t, s.Channel(b.Name())))
	s, _ = restart(t, s, o)
	inOrder(t, s, o, a.Name())
	if len(told) != 1 {
		t.Errorf("told %+v", told)
	}
}
