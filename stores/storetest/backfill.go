package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/sql"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// asPlain returns an event as a message for a channel that does not hold events.
func asPlain(a stores.Append) stores.Append {
	a.Event = nil
	return a
}

// fill backfills a channel. It returns one line for each message that it left.
func fill(t *testing.T, s *stores.Store, c *stores.Channel, mode stores.Versions) (filled uint64, left []string) {
	t.Helper()
	filled, err := s.Backfill(testContext(t), c, stores.Backfill{Versions: mode, Left: func(sequence uint64, why error) {
		left = append(left, fmt.Sprintf("%d %v", sequence, why))
	}})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(left)
	return filled, left
}

// testBackfill: old messages get the event columns that they would get if they were published now, one after the other.
func testBackfill(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	old, published := channel(t, s, "old"), channel(t, s, "published")
	batch := func(c *stores.Channel) (all []stores.Append) {
		for _, e := range []event{
			{aggregate: "A"}, {aggregate: "A", id: "1", data: `{"b":"\u0000"}`}, {aggregate: "A", id: "1", data: `{"b":"\u0000"}`},
			{aggregate: "A", id: "1"}, {aggregate: "B", version: 1, typ: "Ordered", aggregateType: "order"},
			{aggregate: "A", version: 9}, {aggregate: "A", version: 3, data: "\xff\xfe"}, {aggregate: "B", correlation: "c"},
			{aggregate: "B", version: 2, aggregateType: "order"}, {aggregate: "A", id: "2"}, {aggregate: "a"},
		} {
			all = append(all, e.on(t, c))
		}
		return all
	}
	results := appendAll(t, s, batch(published)...)
	for _, a := range batch(old) {
		appendAll(t, s, asPlain(a))
	}
	appendAll(t, s, stores.Append{Channel: old, Payload: []byte("no event")}, stores.Append{Channel: old})
	const data = "SELECT m.seq, m.timestamp, m.size, m.data FROM Messages m JOIN Channels c ON c.id = m.id WHERE c.name = 'old' ORDER BY m.seq"
	before := rowsText(t, o, data)

	filled, left := fill(t, s, old, stores.VersionsStrict)
	want := []string{
		"12 invalid event: not an eventstore.v1.Event: truncated at byte 1", "13 invalid event: aggregate_id is missing",
		`3 event_id "1" already belongs to sequence 2, with the same content`, `4 event_id "1" already stored with different content`,
		"6 " + wrong("A", 2, 9),
	}
	if filled != 8 || len(left) != len(want) {
		t.Fatalf("filled %d, left\n%s", filled, strings.Join(left, "\n"))
	}
	for i, line := range want {
		if line != left[i] && i != 0 { // proto decides how far a text can be read as an event
			t.Errorf("left %q, want %q", left[i], line)
		}
	}
	if after := rowsText(t, o, data); after != before {
		t.Errorf("messages changed from\n%s\nto\n%s", before, after)
	}
	const columns = "SELECT event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata FROM events WHERE channel = '%s' ORDER BY sequence"
	if got, want := rowsText(t, o, fmt.Sprintf(columns, "old")), rowsText(t, o, fmt.Sprintf(columns, "published")); got != want {
		t.Errorf("events:\n%s\nwant\n%s", got, want)
	}
	stored := 0
	for _, r := range results {
		if r.Err == nil && !r.Duplicate {
			stored++
		}
	}
	if stored != int(filled) {
		t.Errorf("%d were filled, %d were published", filled, stored)
	}

	// It changes nothing twice, except in a mode that accepts more, and later events continue from there.
	if filled, again := fill(t, s, old, stores.VersionsStrict); filled != 0 || len(again) != len(left) || !slices.Equal(again[:4], left[:4]) {
		t.Errorf("second run: filled %d, left\n%s", filled, strings.Join(again, "\n"))
	}
	expect(t, appendAll(t, s, event{aggregate: "A", version: 4}.on(t, old), event{aggregate: "A", version: 5}.on(t, old), event{aggregate: "B", id: "2"}.on(t, old)),
		wrong("A", 4, 4), "14", `event_id "2" already stored with different content`)
	s, _ = restart(t, s, o)
	old = s.Channel("old")
	expect(t, appendAll(t, s, event{aggregate: "A", version: 6}.on(t, old)), "15")
	if filled, left := fill(t, s, old, stores.VersionsUnique); filled != 1 || len(left) != 4 {
		t.Errorf("with unique versions: filled %d, left\n%s", filled, strings.Join(left, "\n"))
	}
	expect(t, appendAll(t, s, event{aggregate: "A", version: 10}.on(t, old)), "16")
}

// testBackfillTooLate: an aggregate whose later events have versions gets none for earlier ones, because their order
// would be wrong.
func testBackfillTooLate(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	for _, aggregate := range []string{"A", "B", "A"} {
		appendAll(t, s, asPlain(event{aggregate: aggregate}.on(t, c)))
	}
	appendAll(t, s, event{aggregate: "A"}.on(t, c))
	s, _ = restart(t, s, o)
	const late = "later events of its aggregate already have versions: no version in the order of sequences is left"
	for _, want := range []uint64{1, 0} {
		if filled, left := fill(t, s, s.Channel("c"), stores.VersionsStrict); filled != want || !slices.Equal(left, []string{"1 " + late, "3 " + late}) {
			t.Errorf("filled %d, left %q", filled, left)
		}
	}
	if got := columns(t, o, "A") + "|" + columns(t, o, "B"); got != "1|1" {
		t.Errorf("versions %s", got)
	}
}

// testBackfillInterrupted: a backfill that its user or the database interrupts continues where it stopped.
func testBackfillInterrupted(t *testing.T, o stores.Options) {
	faults := &Faults{}
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	const n = 2500
	batch := make([]stores.Append, n)
	for i := range batch {
		batch[i] = asPlain(event{aggregate: fmt.Sprint(i % 7), id: fmt.Sprint(i)}.on(t, c))
	}
	appendAll(t, s, batch...)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	first, err := s.Backfill(ctx, c, stores.Backfill{
		Left:     func(sequence uint64, why error) { t.Errorf("%d: %v", sequence, why) },
		Progress: func(uint64) { cancel() },
	})
	if !errors.Is(err, context.Canceled) || first == 0 || first >= n {
		t.Fatalf("filled %d, error %v", first, err)
	}
	s, _ = restart(t, s, o)
	faults.Commits(LostBefore, LostAfter)
	second, left := fill(t, s, s.Channel("c"), stores.VersionsStrict)
	if first+second != n || len(left) > 0 || faults.Left() > 0 {
		t.Errorf("filled %d and %d, left %q, %d faults", first, second, left, faults.Left())
	}
	if got := strings.TrimSpace(rowsText(t, o, "SELECT COUNT(*), MIN(event_version), MAX(event_version) FROM events")); strings.Join(strings.Fields(got), " ") != "2500 1 358" {
		t.Errorf("events: %s", got)
	}
}

// testRestore: messages of another store keep their sequences and times, and the database says that the import is
// incomplete.
func testRestore(t *testing.T, o stores.Options) {
	faults := &Faults{}
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	info := &spb.ServerInfo{ClusterID: "former", Publish: "_STAN.pub.x"}
	if err := s.BeginImport(testContext(t), info); err != nil {
		t.Fatal(err)
	}
	c := channel(t, s, "c")
	message := func(sequence uint64) *pb.MsgProto {
		return &pb.MsgProto{Sequence: sequence, Subject: "other", Data: fmt.Append(nil, sequence), Timestamp: int64(sequence) * 1000, Reply: "r"}
	}
	restore := func(last uint64, sequences ...uint64) error {
		var messages []*pb.MsgProto
		for _, sequence := range sequences {
			messages = append(messages, message(sequence))
		}
		return s.Restore(testContext(t), c, messages, last)
	}
	faults.Commits(LostAfter)
	if err := restore(5, 3, 5); err != nil {
		t.Fatal(err)
	}
	faults.Commits(LostBefore)
	if err := restore(8, 6, 7); err != nil {
		t.Fatal(err)
	}
	if err := restore(8, 8); err == nil {
		t.Error("restored a sequence that the channel had already passed")
	}
	if err := restore(10); err != nil {
		t.Fatal(err)
	}
	s, state := restart(t, s, o)
	if state.Server != nil || state.Importing == nil || state.Importing.Publish != info.Publish {
		t.Errorf("state %+v", state)
	}
	c = s.Channel("c")
	got := c.Info()
	if got.First != 3 || got.Last != 10 || got.Msgs != 4 || got.LastTime != 7000 || got.Bytes == 0 {
		t.Errorf("channel %+v", got)
	}
	stored, err := s.Read(testContext(t), c, 1, 10, 10, 1<<20)
	if err != nil || len(stored) != 4 {
		t.Fatalf("%d messages, error %v", len(stored), err)
	}
	var m pb.MsgProto
	if err := m.Unmarshal(stored[1].Data); err != nil || m.Sequence != 5 || m.Subject != "c" || string(m.Data) != "5" || m.Timestamp != 5000 || m.Reply != "r" {
		t.Errorf("message %+v, error %v", m, err)
	}
	if err := s.SetServerInfo(testContext(t), info); err != nil {
		t.Fatal(err)
	}
	if _, state = restart(t, s, o); state.Importing != nil || state.Server.ClusterID != "former" {
		t.Errorf("state %+v", state)
	}
}

// testInspect: an inspection changes nothing, whatever the version of the schema.
func testInspect(t *testing.T, o stores.Options) {
	look := func() *stores.Inspection {
		t.Helper()
		i, err := stores.Inspect(testContext(t), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = i.Close() })
		return i
	}
	if o.Driver != "sqlite" { // an empty file is not a SQLite database
		files, err := sql.Files(o.Driver)
		if err != nil {
			t.Fatal(err)
		}
		if i := look(); i.Version != 0 || len(i.Files) != len(files) || i.Needed != files[len(files)-1].Version || len(i.Channels) != 0 {
			t.Errorf("empty database: %+v", i)
		}
		if again := look(); again.Version != 0 {
			t.Error("the inspection migrated the schema")
		}
	}
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	appendAll(t, s, stores.Append{Channel: c, Payload: []byte("no event")}, asPlain(event{aggregate: "A"}.on(t, c)), event{aggregate: "B"}.on(t, c))
	i := look()
	if lease, err := i.Lease(testContext(t)); err != nil || lease.Holder != "server" {
		t.Errorf("lease %+v, error %v", lease, err)
	}
	if i.Version != i.Needed || len(i.Files) != 0 || len(i.Channels) != 1 || i.Channels[0].Info().Last != 3 {
		t.Errorf("inspection %+v", i)
	}
	var seen []string
	err := i.Events(testContext(t), i.Channels[0], nil, func(sequence uint64, err error) { seen = append(seen, fmt.Sprint(sequence, err == nil)) })
	if err != nil || strings.Join(seen, " ") != "1 false 2 true" {
		t.Errorf("events %q, error %v", seen, err)
	}
}
