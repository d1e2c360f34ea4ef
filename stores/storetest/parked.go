package storetest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// namedText describes the named consumers, one per line: "5 eventstore.c me/d {}: 2 parked map[a:1]".
func namedText(state *stores.State) []string {
	var lines []string
	for _, n := range state.Named {
		line := fmt.Sprintf("%d %s %s/%s %s: %d parked", n.ID, n.Line, n.Client, n.Name, n.Settings, n.Parked)
		if n.ParkedKeys != nil {
			line += fmt.Sprint(" ", n.ParkedKeys)
		}
		lines = append(lines, line)
	}
	return lines
}

func expectNamed(t *testing.T, state *stores.State, want ...string) {
	t.Helper()
	if got := namedText(state); !slices.Equal(got, want) {
		t.Fatalf("named consumers:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func expectParked(t *testing.T, s *stores.Store, consumer, after uint64, limit int, want ...stores.ParkedMessage) {
	t.Helper()
	got, err := s.Parked(testContext(t), consumer, after, limit)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("parked messages of consumer %d: %+v, error %v, want %+v", consumer, got, err, want)
	}
}

func named(s *stores.Store, line, client, name string) stores.NamedConsumer {
	return stores.NamedConsumer{ID: s.NewSubscriptionID(), ConsumerName: stores.ConsumerName{Line: line, Client: client, Name: name}, Settings: json.RawMessage("{}")}
}

// testParked: settings, parked messages, redelivery counts and cancelled deliveries survive, and saving them twice changes nothing.
func testParked(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "Größe")
	odd := "\"odd\xff\x00 " // as clients may send it
	one := member(s, c, "q")
	queue, durable, pattern := named(s, "Größe", "", "q"), named(s, "Größe", "me", odd), named(s, "eventstore.>", "", "d:q")
	queue.Settings = json.RawMessage(`{"max_deliveries":3}`)
	parked := func(n stores.NamedConsumer, seq uint64, key, reason string) stores.ParkedMessage {
		return stores.ParkedMessage{Consumer: n.ID, Seq: seq, Deliveries: 3, First: 1_700_000_000_000_000_001, Last: 1_700_000_001_000_000_001, Key: key, Reason: reason}
	}
	first, second, third := parked(queue, 5, "a", "poison"), parked(queue, 9, "a ", "käputt\x00\xff"), parked(queue, 1<<40, "", "")
	other := stores.ParkedMessage{Consumer: pattern.ID, Seq: 5}
	changes := stores.ConsumerChanges{
		Put: []stores.SubscriptionRow{one},
		Positions: []stores.Position{{
			Channel: c, Consumer: one.State.ID, Row: &stores.PositionRow{LastSent: 3000, Members: []uint64{one.State.ID}},
			Parts: map[uint64][]stores.Run{0: {{Subscription: 0, First: 7, Last: 9}, {Subscription: one.State.ID, First: 11, Last: 11}}, 2: {{Subscription: one.State.ID, First: 3000, Last: 3000}}},
			Redelivered: map[uint64][]stores.RedeliveredRun{
				0: {{First: 7, Last: 11, Count: 2, Since: 1_700_000_000, NotBefore: 1_700_000_100}},
				2: {{First: 3000, Last: 3000, Count: 1, Since: 1_700_000_001}},
			},
		}},
		Named:  []stores.NamedConsumer{queue, durable, pattern},
		Park:   []stores.ParkedMessage{third, second, {Consumer: queue.ID, Seq: 5, Reason: "an earlier one"}, other, first},
		Cancel: []stores.CancelledDelivery{{Channel: c, Seq: 77}},
		Audit:  []stores.AuditEntry{{ID: s.NewAuditID(), Time: 1_700_000_000_000_000_001, Principal: "jörg", Address: "[::1]:4", Action: "pause", Target: "q", Detail: "\xff"}},
	}
	saveConsumers(t, s, changes)
	saveConsumers(t, s, changes)
	second.Reason = "käputt\uFFFD\uFFFD"
	want := []string{
		"2 Größe /q {\"max_deliveries\":3}: 3 parked map[a:1 a :1]",
		fmt.Sprintf("3 Größe me/%s {}: 0 parked", odd),
		"4 eventstore.> /d:q {}: 1 parked",
	}
	s, state := restart(t, s, o)
	expectNamed(t, state, want...)
	expectParked(t, s, queue.ID, 0, 10, first, second, third)
	expectParked(t, s, queue.ID, 5, 1, second)
	expectParked(t, s, queue.ID, 1<<63, 1)
	expectParked(t, s, pattern.ID, 0, 10, other)
	at, err := s.ParkedAt(testContext(t), queue.ID, []uint64{1 << 40, 4, 5, 5, 1 << 63})
	if err != nil || !slices.Equal(at, []stores.ParkedMessage{first, third}) {
		t.Errorf("at sequences: %+v, error %v", at, err)
	}
	expectConsumers(t, state, "Größe", "1 at 3000 [1]: 0=[7 8 9] 1=[11 3000]")
	got := fmt.Sprint(state.Channels[0].Consumers[0].Redelivered)
	if got != "[{7 9 2 1700000000 1700000100} {11 11 2 1700000000 1700000100} {3000 3000 1 1700000001 0}]" {
		t.Errorf("redeliveries %s", got)
	}
	if len(state.Cancelled) != 1 || state.Cancelled[0].Seq != 77 || state.Cancelled[0].Channel != s.Channel("Größe") {
		t.Errorf("cancelled %+v", state.Cancelled)
	}
	if id, audit := s.NewSubscriptionID(), s.NewAuditID(); id != 5 || audit != 2 {
		t.Errorf("the next subscription has ID %d, the next audit entry %d", id, audit)
	}
	db := raw(t, o)
	if got := queryText(t, db, "SELECT detail FROM AuditEntries WHERE principal = 'jörg'"); got != "\uFFFD" {
		t.Errorf("detail of the audit %q", got)
	}
	for _, text := range []string{"UPDATE AuditEntries SET detail = ''", "DELETE FROM AuditEntries"} {
		if _, err := db.ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "the audit is immutable") {
			t.Errorf("%s: %v", text, err)
		}
	}

	// One is replayed, one parked again, a consumer gets settings, one is dropped, counts go.
	c = s.Channel("Größe")
	third.Deliveries++
	queue.Settings = json.RawMessage(`{"paused":true}`)
	changes = stores.ConsumerChanges{
		Positions: []stores.Position{{Channel: c, Consumer: 1, Redelivered: map[uint64][]stores.RedeliveredRun{0: nil, 2: {{First: 3000, Last: 3000, Count: 2}}, 9: nil}}},
		Named:     []stores.NamedConsumer{queue},
		DropNamed: []uint64{pattern.ID},
		Unpark:    []stores.ParkedKey{{Consumer: queue.ID, Seq: 5}, {Consumer: durable.ID, Seq: 5}},
		Park:      []stores.ParkedMessage{third},
	}
	saveConsumers(t, s, changes)
	saveConsumers(t, s, changes)
	s, state = restart(t, s, o)
	want[0] = "2 Größe /q {\"paused\":true}: 2 parked map[a :1]"
	expectNamed(t, state, want[:2]...)
	expectParked(t, s, queue.ID, 0, 10, second, third)
	if got := fmt.Sprint(state.Channels[0].Consumers[0].Redelivered); got != "[{3000 3000 2 0 0}]" {
		t.Errorf("redeliveries %s", got)
	}
	saveConsumers(t, s, stores.ConsumerChanges{Drop: []uint64{1}, Named: []stores.NamedConsumer{named(s, "Größe", "", "r")}})

	// A channel takes all of it along; a later one of its name has consumers of its own.
	c = s.Channel("Größe")
	if err := s.DeleteChannel(testContext(t), c); err != nil {
		t.Fatal(err)
	}
	saveConsumers(t, s, stores.ConsumerChanges{Cancel: []stores.CancelledDelivery{{Channel: c, Seq: 78}}})
	channel(t, s, "Größe")
	fresh := named(s, "Größe", "", "q")
	saveConsumers(t, s, stores.ConsumerChanges{Named: []stores.NamedConsumer{fresh}})
	if err := s.PurgeDeleted(testContext(t)); err != nil {
		t.Fatal(err)
	}
	_, state = restart(t, s, o)
	expectNamed(t, state, fmt.Sprintf("%d Größe /q {}: 0 parked", fresh.ID))
	for _, table := range []string{"Parked", "ConsumersRedelivered", "CancelledDeliveries"} {
		if got := queryText(t, db, "SELECT COUNT(*) FROM "+table); got != "0" {
			t.Errorf("%s rows of %s remain", got, table)
		}
	}
}

// testParkedMany parks and replays more messages in one transaction than a statement takes.
func testParkedMany(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	const n = 45_000
	a, b := named(s, "a", "", "q"), named(s, "b", "", "q")
	var changes, replay stores.ConsumerChanges
	changes.Named = []stores.NamedConsumer{a, b}
	var seqs []uint64
	for i := range uint64(n) {
		consumer := []uint64{a.ID, b.ID}[i%3/2]
		changes.Park = append(changes.Park, stores.ParkedMessage{Consumer: consumer, Seq: i + 1, Reason: "max_deliveries", Key: fmt.Sprint("key", i%7)})
		if i%2 == 0 {
			replay.Unpark = append(replay.Unpark, stores.ParkedKey{Consumer: consumer, Seq: i + 1})
		}
		seqs = append(seqs, i+1)
	}
	saveConsumers(t, s, changes)
	count := func(consumer uint64) int {
		t.Helper()
		all, err := s.ParkedAt(testContext(t), consumer, seqs)
		if err != nil || !slices.IsSortedFunc(all, func(a, b stores.ParkedMessage) int { return cmp.Compare(a.Seq, b.Seq) }) {
			t.Fatal(err, "or not sorted")
		}
		return len(all)
	}
	if got := count(a.ID); got != n*2/3 {
		t.Errorf("%d of a are parked", got)
	}
	saveConsumers(t, s, replay)
	if got := count(b.ID); got != n/6 {
		t.Errorf("%d of b are parked", got)
	}
	_, state := restart(t, s, o)
	keys := 0
	for _, n := range state.Named[1].ParkedKeys {
		keys += n
	}
	if state.Named[0].Parked != n/3 || keys != n/6 || len(slices.Collect(maps.Keys(state.Named[1].ParkedKeys))) != 7 {
		t.Errorf("%+v", state.Named)
	}
}

// testParkedDamaged: a damaged row is reported and takes nothing else with it.
func testParkedDamaged(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	one := member(s, c, "")
	var changes stores.ConsumerChanges
	for _, name := range []string{"good", "settings", "twice"} {
		n := named(s, "c", "me", name)
		changes.Named = append(changes.Named, n)
		changes.Park = append(changes.Park, stores.ParkedMessage{Consumer: n.ID, Seq: 1})
	}
	changes.Put = []stores.SubscriptionRow{one}
	changes.Positions = []stores.Position{{Channel: c, Consumer: 1, Row: &stores.PositionRow{LastSent: 2, Members: []uint64{1}},
		Parts:       map[uint64][]stores.Run{0: {{Subscription: 1, First: 1, Last: 2}}},
		Redelivered: map[uint64][]stores.RedeliveredRun{0: {{First: 1, Last: 2, Count: 1}}}}}
	saveConsumers(t, s, changes)
	db := raw(t, o)
	exec(t, db, "UPDATE NamedConsumers SET settings = '[]' WHERE consumer = 3")
	exec(t, db, "UPDATE NamedConsumers SET name = 'good' WHERE consumer = 4")
	exec(t, db, "UPDATE ConsumersRedelivered SET counts = '[[2,1,1,1,1]]'")
	exec(t, db, "INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES (99, 1, 1, 1, 1, '', '')")
	s, state := restart(t, s, o)
	expectNamed(t, state, "2 c me/good {}: 1 parked", "3 c me/settings []: 1 parked")
	expectConsumers(t, state, "c", "1 at 2 [1]: 1=[1 2]")
	if r := state.Channels[0].Consumers[0].Redelivered; r != nil {
		t.Errorf("redeliveries %v", r)
	}
	var reasons []string
	for _, d := range state.Damaged {
		reasons = append(reasons, d.Error())
	}
	want := []string{
		"the row of table ConsumersRedelivered with consumer 1, part 0 is damaged: counts is not a list of counts; its messages count as sent for the first time",
		"the row of table NamedConsumers with consumer 3 is damaged: settings is not a JSON object",
		"the row of table NamedConsumers with consumer 4 is damaged: consumer 2 has the same name; its settings and its parked messages are not used",
		"the row of table Parked with consumer 4 is damaged: NamedConsumers has no such consumer; its 1 messages are not used",
		"the row of table Parked with consumer 99 is damaged: NamedConsumers has no such consumer; its 1 messages are not used",
	}
	slices.Sort(reasons)
	if !slices.Equal(reasons, want) {
		t.Errorf("damaged:\n%s\nwant:\n%s", strings.Join(reasons, "\n"), strings.Join(want, "\n"))
	}
	if id := s.NewSubscriptionID(); id != 100 {
		t.Errorf("ID %d", id)
	}
	exec(t, db, "UPDATE Parked SET deliveries = -1 WHERE consumer = 2")
	_, err := s.Parked(testContext(t), 2, 0, 10)
	var damaged *stores.DamagedError
	if !errors.As(err, &damaged) {
		t.Errorf("error %v", err)
	}
}
