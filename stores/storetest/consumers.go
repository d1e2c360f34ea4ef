package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// consumersText describes the consumers of a channel, one per line: "1 at 9 [1 2]: 1=[3 4] 2=[5]".
func consumersText(state *stores.State, channel string) string {
	var lines []string
	for _, c := range state.Channels {
		if c.Channel.Name() != channel {
			continue
		}
		for _, consumer := range c.Consumers {
			var members []uint64
			for _, m := range consumer.Members {
				members = append(members, m.ID)
			}
			line := fmt.Sprintf("%d at %d %v:", consumer.ID, consumer.LastSent, members)
			for _, id := range slices.Sorted(maps.Keys(consumer.Unacked)) {
				line += fmt.Sprintf(" %d=%v", id, consumer.Unacked[id])
			}
			if consumer.Damaged != nil {
				line += " damaged"
			}
			if !consumer.Stored {
				line += " old"
			}
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func expectConsumers(t *testing.T, state *stores.State, channel string, want ...string) {
	t.Helper()
	if got := consumersText(state, channel); got != strings.Join(want, "\n") {
		t.Fatalf("consumers of %q:\n%s\nwant:\n%s", channel, got, strings.Join(want, "\n"))
	}
}

func saveConsumers(t *testing.T, s *stores.Store, changes stores.ConsumerChanges) {
	t.Helper()
	if err := s.SaveConsumers(testContext(t), changes); err != nil {
		t.Fatal(err)
	}
}

// member returns a new subscription of a queue group or, without a group, a durable.
func member(s *stores.Store, c *stores.Channel, queue string) stores.SubscriptionRow {
	id := s.NewSubscriptionID()
	state := &spb.SubState{ID: id, ClientID: "me", QGroup: queue, Inbox: fmt.Sprint("inbox", id), IsDurable: true}
	if queue == "" {
		state.DurableName = fmt.Sprint("durable", id)
	}
	return stores.SubscriptionRow{Channel: c, State: state}
}

func testConsumers(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a, b := channel(t, s, "a"), channel(t, s, "b")
	one, two, plain := member(s, a, "q"), member(s, a, "q"), member(s, b, "")
	saveConsumers(t, s, stores.ConsumerChanges{})
	saveConsumers(t, s, stores.ConsumerChanges{
		Put: []stores.SubscriptionRow{one, two, plain},
		Positions: []stores.Position{
			{Channel: a, Consumer: 1, Row: &stores.PositionRow{LastSent: 3000, Members: []uint64{1, 2}}, Parts: map[uint64][]stores.Run{
				0: {{Subscription: 1, First: 5, Last: 6}, {Subscription: 2, First: 7, Last: 7}, {Subscription: 1, First: 1023, Last: 1023}},
				1: {{Subscription: 2, First: 1024, Last: 1026}},
				2: {{Subscription: 1, First: 3000, Last: 3000}},
			}},
			{Channel: b, Consumer: 3, Row: &stores.PositionRow{LastSent: 1 << 40, Members: []uint64{3}}, Parts: map[uint64][]stores.Run{
				1 << 30: {{Subscription: 3, First: 1 << 40, Last: 1 << 40}},
			}},
		},
	})
	s, state := restart(t, s, o)
	expectConsumers(t, state, "a", "1 at 3000 [1 2]: 1=[5 6 1023 3000] 2=[7 1024 1025 1026]")
	expectConsumers(t, state, "b", fmt.Sprintf("3 at %d [3]: 3=[%d]", 1<<40, 1<<40))
	if info := s.Channel("b").Info(); info.Last != 1<<40 {
		t.Errorf("the last sequence of the channel is %d, below what was sent", info.Last)
	}

	// Only changes are written: acknowledged parts go, the row stays, one member leaves, another joins.
	a = s.Channel("a")
	saveConsumers(t, s, stores.ConsumerChanges{Positions: []stores.Position{
		{Channel: a, Consumer: 1, Parts: map[uint64][]stores.Run{0: {{Subscription: 2, First: 7, Last: 7}}, 1: nil, 17: nil}},
	}})
	four := member(s, a, "q")
	if four.State.ID != 4 {
		t.Fatalf("ID %d", four.State.ID)
	}
	changes := stores.ConsumerChanges{
		Put:    []stores.SubscriptionRow{four},
		Delete: []stores.SubscriptionKey{{Channel: a, ID: 1}},
		Positions: []stores.Position{{Channel: a, Consumer: 1, Row: &stores.PositionRow{LastSent: 3001, Members: []uint64{2, 4}}, Parts: map[uint64][]stores.Run{
			2: {{Subscription: 2, First: 3000, Last: 3000}, {Subscription: 4, First: 3001, Last: 3001}},
		}}},
		Drop: []uint64{3},
	}
	changes.Delete = append(changes.Delete, stores.SubscriptionKey{Channel: s.Channel("b"), ID: 3})
	saveConsumers(t, s, changes)
	saveConsumers(t, s, changes)
	s, state = restart(t, s, o)
	expectConsumers(t, state, "a", "1 at 3001 [2 4]: 2=[7 3000] 4=[3001]")
	expectConsumers(t, state, "b")
	db := raw(t, o)
	for text, want := range map[string]string{
		"SELECT COUNT(*) FROM Subscriptions":    "2",
		"SELECT COUNT(*) FROM Consumers":        "1",
		"SELECT COUNT(*) FROM ConsumersPending": "2",
	} {
		if got := queryText(t, db, text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}

	// The ID of a group is not reused after its first subscription has left.
	a = s.Channel("a")
	gone := []stores.SubscriptionKey{{Channel: a, ID: 2}, {Channel: a, ID: 4}}
	five, six := member(s, a, "r"), member(s, a, "r")
	saveConsumers(t, s, stores.ConsumerChanges{Delete: gone, Drop: []uint64{1}, Put: []stores.SubscriptionRow{five}})
	saveConsumers(t, s, stores.ConsumerChanges{Put: []stores.SubscriptionRow{five}, Positions: []stores.Position{{Channel: a, Consumer: six.State.ID, Row: &stores.PositionRow{Members: []uint64{5}}}}})
	s, _ = restart(t, s, o)
	if id := s.NewSubscriptionID(); id != 7 {
		t.Errorf("ID %d was assigned twice", id)
	}

	// SaveConsumers skips the state of a deleted channel, whose purge removes the rest.
	a, b = s.Channel("a"), s.Channel("b")
	if err := s.DeleteChannel(testContext(t), a); err != nil {
		t.Fatal(err)
	}
	eight := member(s, b, "q")
	saveConsumers(t, s, stores.ConsumerChanges{
		Put:       []stores.SubscriptionRow{{Channel: a, State: five.State}, eight},
		Positions: []stores.Position{{Channel: a, Consumer: 6, Row: &stores.PositionRow{LastSent: 9, Members: []uint64{5}}}, {Channel: b, Consumer: 8, Row: &stores.PositionRow{LastSent: 1, Members: []uint64{8}}}},
	})
	if err := s.PurgeDeleted(testContext(t)); err != nil {
		t.Fatal(err)
	}
	_, state = restart(t, s, o)
	expectConsumers(t, state, "b", "8 at 1 [8]:")
	if got := queryText(t, db, "SELECT COUNT(*) FROM Consumers"); got != "1" {
		t.Errorf("%s consumers remain", got)
	}
}

// testConsumersOfMany saves more groups and parts in one transaction than a statement takes.
func testConsumersOfMany(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	const groups, parts = 300, 15
	save := func(emptied bool) {
		t.Helper()
		var changes stores.ConsumerChanges
		for i := range uint64(groups) {
			p := stores.Position{Channel: c, Consumer: i + 1, Row: &stores.PositionRow{LastSent: parts * stores.PartSize, Members: []uint64{i + 1}}, Parts: map[uint64][]stores.Run{}}
			for part := range uint64(parts) {
				if first := part*stores.PartSize + 1; !emptied || part == i%parts {
					p.Parts[part] = []stores.Run{{Subscription: i + 1, First: first, Last: first + 1}}
				} else {
					p.Parts[part] = nil
				}
			}
			changes.Positions = append(changes.Positions, p)
			changes.Put = append(changes.Put, stores.SubscriptionRow{Channel: c, State: &spb.SubState{ID: i + 1, ClientID: "me"}})
		}
		saveConsumers(t, s, changes)
	}
	db := raw(t, o)
	save(false)
	if got := queryText(t, db, "SELECT COUNT(*) FROM ConsumersPending"); got != fmt.Sprint(groups*parts) {
		t.Errorf("%s parts", got)
	}
	save(true)
	_, state := restart(t, s, o)
	for i, consumer := range state.Channels[0].Consumers {
		first := uint64(i%parts)*stores.PartSize + 1
		if got := fmt.Sprint(consumer.Unacked); got != fmt.Sprintf("map[%d:[%d %d]]", i+1, first, first+1) || consumer.LastSent != parts*stores.PartSize {
			t.Fatalf("consumer %d: at %d, %s", consumer.ID, consumer.LastSent, got)
		}
	}
	if len(state.Channels[0].Consumers) != groups {
		t.Errorf("%d consumers", len(state.Channels[0].Consumers))
	}
}

// testConsumersCommitLost: saved state exists once, whatever the fate of the COMMIT. If the outcome stays unknown, the
// state can be saved again with the same IDs.
func testConsumersCommitLost(t *testing.T, o stores.Options) {
	var faults Faults
	o.WrapConnector = faults.Wrap
	s, _ := lead(t, o)
	t.Cleanup(faults.Wait)
	c := channel(t, s, "c")
	var want []string
	for i, fault := range []CommitFault{LostBefore, LostAfter, LateCommit} {
		if o.Driver == "sqlite" && fault == LateCommit {
			fault = LostAfter
		}
		m := member(s, c, "")
		id := m.State.ID
		changes := stores.ConsumerChanges{Put: []stores.SubscriptionRow{m}, Positions: []stores.Position{{Channel: c, Consumer: id, Row: &stores.PositionRow{LastSent: 2, Members: []uint64{id}}, Parts: map[uint64][]stores.Run{0: {{Subscription: id, First: 1, Last: 2}}}}}}
		faults.Commits(fault, fault)
		saveConsumers(t, s, changes)

		// The outcome stays unknown: memory continues, and the later state is saved.
		ctx, cancel := context.WithCancel(testContext(t))
		later := changes
		later.Put = nil
		later.Positions = []stores.Position{{Channel: c, Consumer: id, Row: &stores.PositionRow{LastSent: 3, Members: []uint64{id}}, Parts: map[uint64][]stores.Run{0: {{Subscription: id, First: 2, Last: 3}}}}}
		faults.Commits(fault)
		faults.GoneAfterCommit(cancel)
		expectError(t, s.SaveConsumers(ctx, later), stores.ErrUnavailable)
		faults.Clear()
		later.Positions[0].Parts[0] = []stores.Run{{Subscription: id, First: 3, Last: 3}}
		saveConsumers(t, s, later)
		faults.Wait()
		want = append(want, fmt.Sprintf("%d at 3 [%d]: %d=[3]", i+1, i+1, i+1))
	}
	_, state := restart(t, s, o)
	expectConsumers(t, state, "c", want...)
}

// testConsumersOfEarlierReleases: messages sent by NATS Streaming, or by this server before it had Consumers, are sent
// again unless they are known to be acknowledged.
func testConsumersOfEarlierReleases(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	ctx := testContext(t)
	c := channel(t, s, "c")
	create := func(queue, durable string, lastSent uint64) uint64 {
		t.Helper()
		state := &spb.SubState{ClientID: "me", QGroup: queue, DurableName: durable, LastSent: lastSent}
		if err := s.CreateSubscription(ctx, c, state); err != nil {
			t.Fatal(err)
		}
		return state.ID
	}
	// 1, 2: a held 100 messages that were not yet written when b joined and the server ended.
	create("joined", "", 0)
	create("joined", "", 100)
	// 3, 4: the same, after some were written.
	create("written", "", 0)
	create("written", "", 100)
	// 5: a durable that was closed before its messages were written.
	create("", "closed", 100)
	// 6, 7: one member has long been at its limit, and is written only when it changes.
	create("stalled", "", 0)
	create("stalled", "", 0)
	// 8: nothing was sent from the start position on.
	create("", "new", 1000)
	// 9, 10: subscriptions without a group.
	create("", "", 5)
	create("", "", 6)
	for _, progress := range [][]stores.Progress{
		{{Subscription: 3, LastSent: 10, Unacked: []uint64{9, 10}}},
		{{Subscription: 5, LastSent: 50, Unacked: []uint64{49, 50}}},
		{{Subscription: 6, LastSent: 2, Unacked: []uint64{1, 2}}, {Subscription: 7, LastSent: 900, Unacked: []uint64{2, 900}}},
	} {
		if err := s.SaveProgress(ctx, progress); err != nil {
			t.Fatal(err)
		}
	}
	db := raw(t, o)
	// 11, 12, 13: NATS Streaming without caching; with caching; all acknowledged.
	create("old", "", 2)
	create("old", "", 2)
	create("acked", "", 2)
	row := map[string]string{"mysql": "`row`"}[o.Driver]
	if row == "" {
		row = `"row"`
	}
	exec(t, db, fmt.Sprintf("INSERT INTO SubsPending (subid, %s, seq) VALUES (11, 1, 5), (11, 2, 4)", row))
	exec(t, db, fmt.Sprintf("INSERT INTO SubsPending (subid, %s, lastsent, pending, acks) VALUES (12, 1, 6, %s, %s)", row, blob(o, []byte("[6,3]")), blob(o, []byte("[3]"))))
	exec(t, db, "UPDATE Subscriptions SET lastsent = 8 WHERE subid = 13")
	want := []string{
		"1 at 0 [1 2]:",
		"3 at 10 [3 4]: 3=[9 10]",
		"5 at 50 [5]: 5=[49 50]",
		"6 at 900 [6 7]: 6=[1 2] 7=[900]",
		"8 at 1000 [8]:",
		"9 at 5 [9]:",
		"10 at 6 [10]:",
		"11 at 6 [11 12]: 11=[4 5] 12=[6]",
		"13 at 8 [13]:",
	}
	old := func() (lines []string) {
		for _, line := range want {
			lines = append(lines, line+" old")
		}
		return lines
	}
	for range 2 { // reading changes nothing
		var state *stores.State
		s, state = restart(t, s, o)
		expectConsumers(t, state, "c", old()...)
		if got := queryText(t, db, "SELECT COUNT(*) FROM Consumers"); got != "0" {
			t.Fatalf("%s consumers", got)
		}
	}
	s, state := restart(t, s, o)
	var changes stores.ConsumerChanges
	for _, consumer := range state.Channels[0].Consumers {
		p := stores.Position{Channel: s.Channel("c"), Consumer: consumer.ID, Row: &stores.PositionRow{LastSent: consumer.LastSent}}
		holder := map[uint64]uint64{}
		for _, m := range consumer.Members {
			p.Row.Members = append(p.Row.Members, m.ID)
			changes.Converted = append(changes.Converted, m.ID)
			for _, seq := range consumer.Unacked[m.ID] {
				holder[seq] = m.ID
			}
		}
		p.Parts = stores.Parts(slices.Sorted(maps.Keys(holder)), func(seq uint64) uint64 { return holder[seq] })
		changes.Positions = append(changes.Positions, p)
	}
	saveConsumers(t, s, changes)
	s, state = restart(t, s, o)
	expectConsumers(t, state, "c", want...)
	if got := queryText(t, db, "SELECT COUNT(*) FROM SubsPending"); got != "0" {
		t.Errorf("%s rows of SubsPending remain", got)
	}

	// A subscription that an administrator restored by hand belongs to the group with its name.
	exec(t, db, fmt.Sprintf("INSERT INTO Subscriptions (id, subid, proto) VALUES (1, 50, %s)", blob(o, encode(t, &spb.SubState{ID: 50, ClientID: "me", QGroup: "stalled"}))))
	_, state = restart(t, s, o)
	want[3] = "6 at 900 [6 7 50]: 6=[1 2] 7=[900] old"
	expectConsumers(t, state, "c", want...)
}

// testConsumersDamaged: a damaged row puts only its own group out of service.
func testConsumersDamaged(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, other := channel(t, s, "c"), channel(t, s, "other")
	var changes stores.ConsumerChanges
	for i := range uint64(6) {
		on := c
		if i == 5 {
			on = other
		}
		m := member(s, on, "")
		changes.Put = append(changes.Put, m)
		changes.Positions = append(changes.Positions, stores.Position{Channel: on, Consumer: i + 1, Row: &stores.PositionRow{LastSent: 2, Members: []uint64{i + 1}},
			Parts: map[uint64][]stores.Run{0: {{Subscription: i + 1, First: 1, Last: 2}}}})
	}
	saveConsumers(t, s, changes)
	db := raw(t, o)
	good := func(id int) string { return fmt.Sprintf("%d at 2 [%d]: %d=[1 2]", id, id, id) }
	exec(t, db, "UPDATE ConsumersPending SET pending = 'x' WHERE consumer = 1")
	exec(t, db, "UPDATE ConsumersPending SET pending = '[[2,1,99999999999]]' WHERE consumer = 2")
	exec(t, db, "UPDATE ConsumersPending SET pending = '[[3,2,2],[3,1,1]]' WHERE consumer = 3")
	if o.Driver != "mysql" {
		exec(t, db, "UPDATE Consumers SET lastsent = -3 WHERE consumer = 4")
	} else {
		exec(t, db, "UPDATE ConsumersPending SET pending = '[[4,1]]' WHERE consumer = 4")
	}
	s, state := restart(t, s, o)
	got := strings.Split(consumersText(state, "c"), "\n")
	for i := range 4 {
		if !strings.HasSuffix(got[i], " damaged") {
			t.Errorf("consumer %d is in service: %s", i+1, got[i])
		}
	}
	if got[4] != good(5) {
		t.Errorf("consumer 5: %s", got[4])
	}
	expectConsumers(t, state, "other", good(6))
	if len(state.Damaged) != 4 {
		t.Errorf("damaged rows: %v", state.Damaged)
	}
	for _, sub := range state.Channels[0].Subscriptions[:4] {
		if sub.Damaged == nil {
			t.Errorf("subscription %d is in service", sub.State.ID)
		}
	}

	// Without its members, the store cannot tell which subscriptions of the channel belong to the group.
	exec(t, db, "UPDATE Consumers SET members = '{' WHERE consumer = 5")
	s, state = restart(t, s, o)
	got = strings.Split(consumersText(state, "c"), "\n")
	if len(got) != 5 || !strings.Contains(got[4], " damaged") {
		t.Errorf("consumer 5 is in service: %q", got)
	}
	expectConsumers(t, state, "other", good(6))
	if o.Driver == "sqlite" { // the others enforce numbers in these columns
		exec(t, db, "UPDATE Consumers SET id = 'x', members = '' WHERE consumer = 5")
		_, state = restart(t, s, o)
		if got := consumersText(state, "c"); strings.Count(got, "damaged") != 5 {
			t.Errorf("recovered %s", got)
		}
		expectConsumers(t, state, "other", good(6))
	}
}
