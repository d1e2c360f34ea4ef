package storetest

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// with returns a message with another mode of versions.
func with(mode stores.Versions, a stores.Append) stores.Append {
	a.Versions = mode
	return a
}

// wrong is the error for a version that is not the next one.
func wrong(aggregate string, head, version uint64) string {
	return fmt.Sprintf("wrong expected version: aggregate %q is at version %d, event has version %d", aggregate, head, version)
}

// taken is the error for a version that another event has.
func taken(aggregate string, version uint64) string {
	return fmt.Sprintf("wrong expected version: aggregate %q has an event with version %d", aggregate, version)
}

// full is the error for an aggregate at the highest possible version.
func full(aggregate string) string {
	return fmt.Sprintf("wrong expected version: aggregate %q is at version %d, there is no higher one", aggregate, uint64(math.MaxInt64))
}

// columns returns the versions of an aggregate as SQL sees them, in the order of storage.
func columns(t *testing.T, o stores.Options, aggregate string) string {
	t.Helper()
	return strings.Join(strings.Fields(rowsText(t, o, "SELECT event_version FROM events WHERE aggregate_id = '"+aggregate+"' ORDER BY sequence")), " ")
}

func testUniqueVersions(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	at := func(version uint64, id string) stores.Append {
		return with(stores.VersionsUnique, event{aggregate: "A", version: version, id: id}.on(t, c))
	}
	expect(t, appendAll(t, s, at(5, ""), at(2, ""), at(5, ""), at(2, ""), at(0, ""), at(7, "x"), at(7, "y"), at(7, "x")),
		"1", "2", taken("A", 5), taken("A", 2), "3", "4", taken("A", 7), "dup 4")
	expect(t, appendAll(t, s, at(1, ""), at(1, ""), at(6, ""), at(4, "z"), at(7, "x"), at(0, "")), // 0 was 6 before, and is 8 now
		"5", taken("A", 1), taken("A", 6), "6", "dup 4", "7")
	s, _ = restart(t, s, o)
	c = s.Channel("eventstore.c")
	expect(t, appendAll(t, s, at(3, ""), at(3, ""), at(4, "z"), at(1, "z"), at(8, ""), at(math.MaxInt64, ""), at(0, ""), at(9, ""), event{aggregate: "B"}.on(t, c)),
		"8", taken("A", 3), "dup 6", `event_id "z" already stored with different content`, taken("A", 8), "9", full("A"), "10", "11")
	if got, want := columns(t, o, "A"), "5 2 6 7 1 4 8 3 9223372036854775807 9"; got != want {
		t.Errorf("versions %s, want %s", got, want)
	}
	// A version that fills a gap is not the highest, in later batches either.
	for _, version := range []uint64{10, 3, 0, 5, 0} {
		appendAll(t, s, with(stores.VersionsUnique, event{aggregate: "holes", version: version}.on(t, c)))
	}
	if got, want := columns(t, o, "holes"), "10 3 11 5 12"; got != want {
		t.Errorf("versions %s, want %s", got, want)
	}
	readAll(t, s, c)
}

func testVersionsOff(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	at := func(version uint64, id string) stores.Append {
		return with(stores.VersionsOff, event{aggregate: "A", version: version, id: id}.on(t, c))
	}
	expect(t, appendAll(t, s, at(7, ""), at(7, ""), at(0, ""), at(2, "x"), at(2, "x"), at(0, "x"), at(3, "x")),
		"1", "2", "3", "4", "dup 4", "dup 4", `event_id "x" already stored with different content`)
	s, _ = restart(t, s, o)
	c = s.Channel("eventstore.c")
	expect(t, appendAll(t, s, at(1, ""), at(2, "x"), at(math.MaxInt64, "")), "5", "dup 4", "6")
	if got, want := columns(t, o, "A"), "1 2 3 4 5 6"; got != want {
		t.Errorf("versions %s, want %s", got, want)
	}
	for i, m := range readAll(t, s, c) {
		want := []uint64{7, 7, 3, 2, 1, math.MaxInt64}[i]
		if got := extract(t, m.Data).Version; got != want {
			t.Errorf("subscribers see version %d of event %d, want %d", got, i+1, want)
		}
	}
}

// insertBeside stores and counts an event with plain SQL while the server runs, as an administrator might.
func insertBeside(t *testing.T, o stores.Options, db *sql.DB, c *stores.Channel, seq uint64, e event, version int64) {
	t.Helper()
	message := &pb.MsgProto{Sequence: seq, Subject: c.Name(), Data: e.on(t, c).Payload, Timestamp: time.Now().UnixNano()}
	data := encode(t, message)
	column := fmt.Sprint(version)
	if version == 0 {
		column = "NULL"
	}
	id := "NULL"
	if e.id != "" {
		id = "'" + e.id + "'"
	}
	exec(t, db, fmt.Sprintf("INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type) VALUES (%d, %d, %d, %d, %s, %s, '%s', '%s', %s, 'OrderCreated')",
		c.ID(), seq, message.Timestamp, len(data), blob(o, data), id, e.aggregateType, e.aggregate, column))
	exec(t, db, fmt.Sprintf("UPDATE Channels SET maxseq = %d, msgs = msgs + 1, bytes = bytes + %d WHERE id = %d", seq, len(data), c.ID()))
}

// testPlainSQL: the store finds rows that someone writes with plain SQL, whatever memory says.
func testPlainSQL(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	db := raw(t, o)
	at := func(version uint64) stores.Append { return event{aggregate: "A", version: version}.on(t, c) }
	good := func() stores.Append { return event{aggregate: "good"}.on(t, c) }

	// The sequence and the version that memory would assign are in use, also in channels that are empty in memory.
	assigned, given := channel(t, s, "eventstore.assigned"), channel(t, s, "eventstore.given")
	insertBeside(t, o, db, assigned, 1, event{aggregate: "empty", version: 1}, 1)
	insertBeside(t, o, db, given, 1, event{aggregate: "empty", version: 1}, 1)
	expect(t, appendAll(t, s, event{aggregate: "empty"}.on(t, assigned), event{aggregate: "empty", version: 2}.on(t, given), event{aggregate: "empty", version: 1}.on(t, given)),
		"2", "2", wrong("empty", 2, 1))
	expect(t, appendAll(t, s, at(1)), "1")
	insertBeside(t, o, db, c, 2, event{aggregate: "A", version: 2}, 2)
	expect(t, appendAll(t, s, good(), at(0), good()), "3", "4", "5") // version 3
	insertBeside(t, o, db, c, 6, event{aggregate: "A", version: 4}, 4)
	expect(t, appendAll(t, s, good(), at(4), good()), "7", wrong("A", 4, 4), "8")
	// A version that memory considers too high has become the next one.
	insertBeside(t, o, db, c, 9, event{aggregate: "A", version: 5}, 5)
	expect(t, appendAll(t, s, at(7), at(6), at(8)), wrong("A", 5, 7), "10", wrong("A", 6, 8))
	insertBeside(t, o, db, c, 11, event{aggregate: "A", version: 7}, 7)
	insertBeside(t, o, db, c, 12, event{aggregate: "A", version: 12}, 12)
	expect(t, appendAll(t, s, with(stores.VersionsUnique, at(12)), with(stores.VersionsUnique, at(8)), with(stores.VersionsUnique, at(7)), good()),
		taken("A", 12), "13", taken("A", 7), "14")

	// An event_id.
	insertBeside(t, o, db, c, 15, event{aggregate: "B", id: "same", version: 1}, 1)
	expect(t, appendAll(t, s, good(), event{aggregate: "B", id: "same"}.on(t, c), event{aggregate: "B", id: "same", typ: "Other"}.on(t, c)),
		"16", "dup 15", `event_id "same" already stored with different content`)
	// Rows that no server wrote harm only their own aggregate.
	insertBeside(t, o, db, c, 17, event{aggregate: "null"}, 0)
	insertBeside(t, o, db, c, 18, event{aggregate: "negative"}, -5)
	insertBeside(t, o, db, c, 19, event{aggregate: "last"}, math.MaxInt64)
	expect(t, appendAll(t, s,
		event{aggregate: "null", version: 1}.on(t, c), event{aggregate: "negative", version: 1}.on(t, c), good(),
		event{aggregate: "last"}.on(t, c), with(stores.VersionsOff, event{aggregate: "last"}.on(t, c)),
		event{aggregate: "last", version: 7}.on(t, c), with(stores.VersionsUnique, event{aggregate: "last", version: 7}.on(t, c)),
	), "20", "21", "22", full("last"), full("last"), wrong("last", math.MaxInt64, 7), "23")
	for i, data := range []string{"garbage", "", "\x08\x01"} {
		exec(t, db, fmt.Sprintf("INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type) VALUES (%d, %d, 1, 1, %s, 'g%d', '', 'garbage', %d, 'T')",
			c.ID(), 24+2*i, blob(o, []byte(data)), i, i+1))
		expect(t, appendAll(t, s, event{aggregate: "garbage", id: fmt.Sprint("g", i)}.on(t, c), good()),
			fmt.Sprintf(`event_id "g%d" already stored with different content`, i), fmt.Sprint(25+2*i))
	}

	s, _ = restart(t, s, o)
	c = s.Channel("eventstore.c")
	expect(t, appendAll(t, s, at(13), at(0), good()), "30", "31", "32")
	if got, want := columns(t, o, "A"), "1 2 3 4 5 6 7 12 8 13 14"; got != want {
		t.Errorf("versions %s, want %s", got, want)
	}
}

// testEmptyChannels: the first events of channels need no look-up, whose cost grows with their number.
func testEmptyChannels(t *testing.T, o stores.Options) {
	var faults Faults
	var asked atomic.Int64
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	var first, second []stores.Append
	var want []string
	for i := range 300 {
		c := channel(t, s, fmt.Sprint("eventstore.", i))
		first = append(first, event{aggregate: "A", version: 1}.on(t, c))
		second = append(second, event{aggregate: "B", version: 1}.on(t, c))
		want = append(want, "1")
	}
	faults.Before(func(text string) {
		if strings.Contains(text, "FROM Messages") {
			asked.Add(1)
		}
	})
	expect(t, appendAll(t, s, first...), want...)
	if n := asked.Load(); n != 0 {
		t.Errorf("%d look-ups for the first events of channels", n)
	}
	appendAll(t, s, second...)
	if asked.Load() == 0 {
		t.Error("no look-up for aggregates that memory does not know")
	}
}

// testVersionsModel compares random batches with a model: all modes, repeated identifiers, aggregates that the cache
// dropped, restarts, and rows written with plain SQL.
func testVersionsModel(t *testing.T, o stores.Options) {
	o.HeadBytes = 700 // three of them
	for mode := stores.VersionsStrict; mode <= stores.VersionsOff; mode++ {
		seed := rand.Uint64()
		t.Logf("versions %v: seed %d", mode, seed)
		random := rand.New(rand.NewPCG(seed, 0))
		s, _ := lead(t, o)
		db := raw(t, o)
		name := "eventstore." + mode.String()
		c := channel(t, s, name)
		m := newModel(mode)
		for range 80 {
			switch random.IntN(12) {
			case 0:
				s, _ = restart(t, s, o)
				c = s.Channel(name)
			case 1, 2:
				e := m.random(random)
				e.version, e.id = m.heads[e.aggregate]+1, ""
				m.outcome(e)
				insertBeside(t, o, db, c, m.seq, e, int64(m.heads[e.aggregate]))
			default:
				var batch []stores.Append
				var want []string
				for range 1 + random.IntN(8) {
					e := m.random(random)
					batch = append(batch, with(mode, e.on(t, c)))
					want = append(want, m.outcome(e))
				}
				var got []string
				for _, r := range appendAll(t, s, batch...) {
					got = append(got, outcome(r))
				}
				if got, want := m.known(got), m.known(want); !slices.Equal(got, want) {
					t.Fatalf("results:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		}
		s, _ = restart(t, s, o)
		if n := len(readAll(t, s, s.Channel(name))); uint64(n) != m.seq {
			t.Errorf("%d events, want %d", n, m.seq)
		}
		got := strings.Fields(rowsText(t, o, "SELECT event_version FROM events WHERE channel = '"+name+"' ORDER BY sequence"))
		if want := strings.Fields(strings.Trim(fmt.Sprint(m.versions), "[]")); !slices.Equal(got, want) {
			t.Errorf("versions %v, want %v", got, want)
		}
		s.Close()
	}
}

// model predicts the outcome of events.
type model struct {
	mode  stores.Versions
	seq   uint64
	heads map[string]uint64
	used  map[string]map[uint64]bool
	byID  map[string]modelEvent

	versions []uint64 // of all events
}

type modelEvent struct {
	event
	seq uint64
}

func newModel(mode stores.Versions) *model {
	return &model{mode: mode, heads: map[string]uint64{}, used: map[string]map[uint64]bool{}, byID: map[string]modelEvent{}}
}

var atVersion = regexp.MustCompile(`is at version (\d+), event has version (\d+)$`)

// known removes the aggregate's version from an error if it is at least as high as the event's. The store does not ask
// the database for it again, and so ignores what plain SQL wrote.
func (m *model) known(outcomes []string) []string {
	known := slices.Clone(outcomes)
	for i, text := range known {
		if found := atVersion.FindStringSubmatch(text); found != nil {
			head, _ := strconv.ParseUint(found[1], 10, 64)
			version, _ := strconv.ParseUint(found[2], 10, 64)
			if version <= head {
				known[i] = atVersion.ReplaceAllString(text, "is beyond version $2")
			}
		}
	}
	return known
}

// random returns an event of one of few aggregates. Half of the events have an identifier, perhaps a used one.
func (m *model) random(r *rand.Rand) event {
	e := event{aggregate: fmt.Sprint("a", r.IntN(5)), typ: fmt.Sprint("T", r.IntN(2))}
	if r.IntN(2) == 0 {
		id := fmt.Sprint("id", r.IntN(30))
		if old, ok := m.byID[id]; ok && r.IntN(4) > 0 {
			e = old.event
		}
		e.id = id
	}
	switch head := m.heads[e.aggregate]; r.IntN(4) {
	case 0:
		e.version = 0
	case 1:
		e.version = head + 1
	case 2:
		e.version = uint64(r.IntN(int(head) + 4))
	}
	return e
}

// outcome stores an event, or not, and describes the result like the function outcome.
func (m *model) outcome(e event) string {
	if old, ok := m.byID[e.id]; ok && e.id != "" {
		stored := old.event
		if e.version == 0 || stored.version == 0 {
			stored.version = e.version
		}
		if !reflect.DeepEqual(stored, e) {
			return fmt.Sprintf("event_id %q already stored with different content", e.id)
		}
		return fmt.Sprint("dup ", old.seq)
	}
	head := m.heads[e.aggregate]
	version := e.version
	switch {
	case version == 0 || m.mode == stores.VersionsOff:
		version = head + 1
	case m.mode == stores.VersionsStrict && version != head+1:
		return wrong(e.aggregate, head, version)
	case m.used[e.aggregate][version]:
		return taken(e.aggregate, version)
	}
	if m.used[e.aggregate] == nil {
		m.used[e.aggregate] = map[uint64]bool{}
	}
	m.used[e.aggregate][version] = true
	m.heads[e.aggregate] = max(head, version)
	m.versions = append(m.versions, version)
	m.seq++
	if e.id != "" {
		if e.version == 0 {
			e.version = version // as subscribers, and publishers who send it again, see it
		}
		m.byID[e.id] = modelEvent{e, m.seq}
	}
	return fmt.Sprint(m.seq)
}

// testVersionsInTheColumn: where the payload has no place for the version, results and messages have that of the column.
func testVersionsInTheColumn(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	mapping, err := proto.NewMapping(proto.MappingConfig{Format: proto.FormatJSON, AggregateID: "$.order", EventType: "= Changed", EventID: "$.id"})
	if err != nil {
		t.Fatal(err)
	}
	payloads := []string{`{"order":1,"id":"a"}`, `{"order":1,"id":"b"}`, `{"order":1,"id":"b"}`}
	publish := func(c *stores.Channel) []stores.Result {
		var batch []stores.Append
		for _, payload := range payloads {
			e, err := mapping.Extract([]byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, stores.Append{Channel: c, Payload: []byte(payload), Event: &e, Mapping: mapping})
		}
		return appendAll(t, s, batch...)
	}
	check := func(when string, results []stores.Result) {
		t.Helper()
		for i, want := range []uint64{1, 2, 2} {
			if results[i].Version != want {
				t.Errorf("%s: version %d of %s, want %d", when, results[i].Version, payloads[i], want)
			}
		}
	}
	c := channel(t, s, "orders")
	check("new", publish(c))
	check("again", publish(c))
	s, _ = restart(t, s, o)
	c = s.Channel("orders")
	check("after a restart", publish(c))

	read, err := s.Read(testContext(t), c, 1, 2, 10, 1<<20)
	if err != nil || len(read) != 2 || read[0].Version != 1 || read[1].Version != 2 {
		t.Errorf("Read returns %v, %v", read, err)
	}
	found, err := s.EventsWithID(testContext(t), "b")
	if err != nil || len(found) != 1 || found[0].Version != 2 {
		t.Errorf("EventsWithID returns %v, %v", found, err)
	}
}
