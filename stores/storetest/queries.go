package storetest

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// ordered is what a store must return of an event at the position of its index + 1.
type ordered struct {
	channel string
	seq     uint64
	event   *proto.Event
}

func (o ordered) String() string { return fmt.Sprintf("%s/%d", o.channel, o.seq) }

// history appends random events to some channels, with messages of a plain channel in between.
type history struct {
	s      *stores.Store
	random *rand.Rand
	page   int  // most events to read at a time
	wide   bool // few aggregates with many events
	all    []ordered
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

// grow appends n events in one batch.
func (h *history) grow(t *testing.T, n int) {
	t.Helper()
	r := h.random
	var batch []stores.Append
	for range n {
		if r.IntN(8) == 0 {
			batch = append(batch, stores.Append{Channel: channel(t, h.s, "plain"), Payload: []byte("plain")})
		}
		message := &eventstorev1.Event{
			EventType:     pick(r, "Common", "Common", "Common", "orders.Paid", "orders.Open", "Rare"),
			AggregateId:   fmt.Sprintf("a-%d", r.IntN(map[bool]int{true: 1, false: 30}[h.wide])),
			AggregateType: pick(r, "", "Order", "Cart"),
			EventData:     []byte(strings.Repeat("x", r.IntN(200))),
			Metadata:      map[string]string{"user": pick(r, "ann", "bob", "", `q"'\ü`), "other": "x"},
		}
		for tag := range 3 {
			if r.IntN(3) == 0 {
				message.Tags = append(message.Tags, fmt.Sprintf("t%d:%d", tag, r.IntN(1+20*tag)))
			}
		}
		payload, err := googleproto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		extracted, err := proto.Extract(payload)
		if err != nil {
			t.Fatal(err)
		}
		c := channel(t, h.s, pick(r, "eventstore.a", "eventstore.b", "eventstore.b.c", "rare"))
		batch = append(batch, stores.Append{Channel: c, Payload: payload, Event: &extracted})
	}
	for i, result := range appendAll(t, h.s, batch...) {
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		if batch[i].Event != nil {
			h.all = append(h.all, ordered{batch[i].Channel.Name(), result.Sequence, batch[i].Event})
			if result.Position != uint64(len(h.all)) {
				t.Fatalf("position %d, want %d", result.Position, len(h.all))
			}
		}
	}
}

// query returns a random query.
func (h *history) query() (q stores.Query) {
	r := h.random
	for range r.IntN(4) {
		var it stores.QueryItem
		for range 1 + r.IntN(2) {
			switch r.IntN(6) {
			case 0:
				it.Types = append(it.Types, pick(r, "Common", "Rare", "orders.*", "R*", ">", "None", "orders.Paid"))
			case 1:
				it.Channels = append(it.Channels, pick(r, "rare", "eventstore.>", "eventstore.*", "eventstore.a", "none"))
			case 2:
				it.AggregateTypes = append(it.AggregateTypes, pick(r, "", "Order", "None"))
			case 3:
				it.AggregateIDs = append(it.AggregateIDs, fmt.Sprintf("a-%d", r.IntN(32)))
			case 4:
				it.AggregateIDPrefixes = append(it.AggregateIDPrefixes, pick(r, "a-1", "a-29", "b"))
			case 5:
				it.Tags = append(it.Tags, pick(r, "t0:0", "t1:3", "t2:7", "none"))
			}
		}
		q.Items = append(q.Items, it)
	}
	return q
}

// want returns the events that match at positions from one to another.
func (h *history) want(q stores.Query, from, to uint64) (want []string) {
	if from > to {
		want = h.want(q, to, from)
		slices.Reverse(want)
		return want
	}
	for i, o := range h.all[from-1 : to] {
		if q.Matches(o.channel, o.event) {
			want = append(want, fmt.Sprintf("%d %s", from+uint64(i), o))
		}
	}
	return want
}

// read returns the same from the store.
func (h *history) read(t *testing.T, q stores.Query, from, to uint64, way stores.Way) (got []string, plans string) {
	t.Helper()
	reader, err := h.s.QueryReader(q, from > to)
	if err != nil {
		t.Fatal(err)
	}
	reader.Only(way)
	var all []string
	for {
		msgs, bytes := 1+h.random.IntN(h.page), 1+h.random.IntN(200*h.page)
		page, err := reader.Read(testContext(t), from, to, msgs, bytes)
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, e := range page.Events {
			got = append(got, fmt.Sprintf("%d %s/%d", e.Position, e.Channel.Name(), e.Sequence))
			size += len(e.Data)
		}
		if n := len(page.Events); n > msgs || n > 1 && size > bytes || page.Through == 0 {
			t.Fatalf("a page of %d events, %d bytes, through %d; want at most %d, %d", n, size, page.Through, msgs, bytes)
		}
		if !slices.Contains(all, page.Plan) {
			all = append(all, page.Plan)
		}
		switch {
		case page.Through == to:
			return got, strings.Join(all, "; ")
		case from > to:
			if page.Through > from || page.Through < to {
				t.Fatalf("read from %d down through %d", from, page.Through)
			}
			from = page.Through - 1
		default:
			if page.Through < from || page.Through > to {
				t.Fatalf("read from %d through %d", from, page.Through)
			}
			from = page.Through + 1
		}
	}
}

// testQueries: whatever is asked, from wherever, the store returns what a filter of all events in memory returns.
func testQueries(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	h := &history{s: s, page: 50, random: rand.New(rand.NewPCG(1, 1))}
	kinds := map[string]int{}
	for range 4 {
		for range 3 {
			h.grow(t, 1+h.random.IntN(100))
		}
		for range 60 {
			q := h.query()
			if err := q.Validate(); err != nil {
				t.Fatal(err)
			}
			last := len(h.all)
			from, to := uint64(1+h.random.IntN(last)), uint64(1+h.random.IntN(last))
			if h.random.IntN(2) == 0 {
				from, to = 1, uint64(last)
			}
			want := h.want(q, from, to)
			for _, way := range []stores.Way{stores.WayChosen, stores.WayIndex, stores.WayScan} {
				got, plan := h.read(t, q, from, to, way)
				if !slices.Equal(got, want) {
					t.Fatalf("%+v from %d to %d, %s:\n%s\nwant:\n%s", q, from, to, plan, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				kind, _, _ := strings.Cut(plan, ":")
				kinds[fmt.Sprint(way, kind)]++
			}
		}
	}
	if kinds["0index"] < 20 || kinds["0scan"] < 20 || kinds["1index"] < 20 || kinds["2scan"] != 240 {
		t.Errorf("the test does not reach every way: %v", kinds)
	}
}

// testQueriesOfManyEvents: parts of an index, and of what must be sorted, follow each other.
func testQueriesOfManyEvents(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	h := &history{s: s, page: 2000, wide: true, random: rand.New(rand.NewPCG(2, 2))}
	for range 5 {
		h.grow(t, 2000)
	}
	last := uint64(len(h.all))
	for _, q := range []stores.Query{
		{},
		{Items: []stores.QueryItem{{Types: []string{"Common"}}}},
		{Items: []stores.QueryItem{{Types: []string{"Rare"}, Tags: []string{"t2:7"}}}},
		{Items: []stores.QueryItem{{AggregateIDs: []string{"a-0", "a-1"}, AggregateTypes: []string{"Order"}}, {Tags: []string{"t1:3", "t0:0"}}}},
		{Items: []stores.QueryItem{{Channels: []string{"eventstore.*"}}}},
	} {
		for _, way := range []stores.Way{stores.WayChosen, stores.WayIndex} {
			for _, bounds := range [][2]uint64{{1, last}, {last, 1}} {
				want := h.want(q, bounds[0], bounds[1])
				if got, plan := h.read(t, q, bounds[0], bounds[1], way); !slices.Equal(got, want) {
					t.Errorf("%+v, %s: %d events, want %d", q, plan, len(got), len(want))
				}
			}
		}
	}
}

// testQueriesOfMetadata: a key is asked for only with its index, which answers once it is there.
func testQueriesOfMetadata(t *testing.T, o stores.Options) {
	o.IndexMetadata = []string{"$.user"}
	s, _ := lead(t, o)
	h := &history{s: s, page: 50, random: rand.New(rand.NewPCG(3, 3))}
	h.grow(t, 300)
	last := uint64(len(h.all))
	_, err := s.QueryReader(stores.Query{Items: []stores.QueryItem{{Metadata: map[string]string{"the other": "x"}}}}, false)
	if !errors.Is(err, stores.ErrNotIndexed) || !strings.Contains(fmt.Sprint(err), `index_metadata, as "$.\"the other\""`) {
		t.Errorf("error %v", err)
	}
	for _, plan := range []string{"scan", `index: metadata "user"`} {
		for _, user := range []string{"ann", "", `q"'\ü`, "none", "Ann"} {
			q := stores.Query{Items: []stores.QueryItem{{Metadata: map[string]string{"user": user}}}}
			for _, bounds := range [][2]uint64{{1, last}, {last, 1}, {100, 200}} {
				got, how := h.read(t, q, bounds[0], bounds[1], stores.WayIndex)
				if want := h.want(q, bounds[0], bounds[1]); !slices.Equal(got, want) || how != plan {
					t.Errorf("user %q: %d events by %s, want %d by %s", user, len(got), how, len(want), plan)
				}
			}
		}
		if err := s.ApplyIndexes(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// testQueriesOfDamagedRows: a damaged row is not skipped, and what comes before is read. Erased events are passed.
func testQueriesOfDamagedRows(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	h := &history{s: s, page: 50, random: rand.New(rand.NewPCG(4, 4))}
	h.grow(t, 20)
	db := raw(t, o)
	dropTriggers(t, o, db)
	exec(t, db, "UPDATE Messages SET data = "+blob(o, []byte("damaged"))+" WHERE position = 12")
	exec(t, db, "DELETE FROM Messages WHERE position IN (1, 5, 6, 20)")
	for _, q := range []stores.Query{{}, {Items: []stores.QueryItem{{Types: []string{"*", "orders.*"}}}}, {Items: []stores.QueryItem{{Types: []string{"Common", "orders.Paid", "orders.Open", "Rare"}}}}} {
		for _, way := range []stores.Way{stores.WayChosen, stores.WayIndex} {
			for _, it := range []struct{ from, to, through, next uint64 }{{1, 20, 11, 13}, {20, 1, 13, 11}} {
				reader, err := s.QueryReader(q, it.from > it.to)
				if err != nil {
					t.Fatal(err)
				}
				reader.Only(way)
				count := 0
				read := func(from, to uint64) uint64 {
					page, err := reader.Read(testContext(t), from, to, 100, 1<<20)
					if err != nil {
						t.Fatal(err)
					}
					count += len(page.Events)
					return page.Through
				}
				if through := read(it.from, it.to); through != it.through {
					t.Errorf("%+v, from %d: read through %d", q, it.from, through)
				}
				var damaged *stores.DamagedError
				if _, err := reader.Read(testContext(t), 12, it.to, 100, 1<<20); !errors.As(err, &damaged) || !strings.Contains(damaged.Key, "position 12") && !strings.Contains(damaged.Key, "seq") {
					t.Errorf("error %v", err)
				}
				if through := read(it.next, it.to); through != it.to || count != 15 {
					t.Errorf("%+v, from %d: %d events, through %d", q, it.from, count, through)
				}
			}
		}
	}

	// A condition that cannot be checked refuses its own group alone.
	guarded := event{aggregate: "Z"}.on(t, channel(t, s, "eventstore.guarded"))
	guarded.Group = &stores.Group{Conditions: []stores.Condition{{Query: stores.Query{Items: []stores.QueryItem{{Types: []string{"*", "orders.*"}}}}, After: 11}}}
	results := appendAll(t, s, guarded, stores.Append{Channel: channel(t, s, "plain"), Payload: []byte("x")})
	var damaged *stores.DamagedError
	if !errors.As(results[0].Err, &damaged) || results[1].Err != nil {
		t.Errorf("errors %v and %v", results[0].Err, results[1].Err)
	}
}

// dropTriggers lets the test change events.
func dropTriggers(t *testing.T, o stores.Options, db *sql.DB) {
	t.Helper()
	list := map[string]string{
		"postgres": "SELECT 'DROP TRIGGER ' || tgname || ' ON Messages' FROM pg_trigger WHERE tgrelid = 'messages'::regclass AND NOT tgisinternal",
		"mysql":    "SELECT CONCAT('DROP TRIGGER ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND event_object_table = 'Messages'",
		"sqlite":   "SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'Messages'",
	}[o.Driver]
	rows, err := db.QueryContext(testContext(t), list)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var texts []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if err := cmp.Or(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, err := db.ExecContext(testContext(t), text); err != nil {
			t.Fatal(err)
		}
	}
}

// testPositionAt: the first event at a time or later is found, also where times step back.
func testPositionAt(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	find := func(ns int64) uint64 {
		t.Helper()
		position, err := s.PositionAt(testContext(t), ns)
		if err != nil {
			t.Fatal(err)
		}
		return position
	}
	if got := find(0); got != 0 {
		t.Errorf("%d without events", got)
	}
	h := &history{s: s, page: 50, random: rand.New(rand.NewPCG(5, 5))}
	h.grow(t, 20)
	// Times 10, 10, 20, 20, … 50, 50; then, numbered late, 20, 20, 30, 30, … 60, 60.
	db := raw(t, o)
	dropTriggers(t, o, db)
	half := map[bool]string{true: "((position + 1) DIV 2)", false: "((position + 1) / 2)"}[o.Driver == "mysql"]
	exec(t, db, "UPDATE Messages SET timestamp = "+half+" * 10 WHERE position IS NOT NULL")
	exec(t, db, "UPDATE Messages SET timestamp = timestamp - 40 WHERE position > 10")
	exec(t, db, "INSERT INTO TimeSteps (position) VALUES (11)")
	exec(t, db, "DELETE FROM Messages WHERE position IN (1, 3, 10, 20)") // erased
	for ns, want := range map[int64]uint64{0: 2, 10: 2, 11: 4, 20: 4, 50: 9, 51: 19, 60: 19, 61: 0} {
		if got := find(ns); got != want {
			t.Errorf("at %d: position %d, want %d", ns, got, want)
		}
	}
}
