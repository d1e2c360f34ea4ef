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

// testWildcards: groups of patterns keep their position, members and unacknowledged messages, and leave nothing behind.
func testWildcards(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	a := channel(t, s, "a")
	plain, one, two, three := member(s, a, ""), member(s, nil, "q"), member(s, nil, "q"), member(s, nil, "")
	saveConsumers(t, s, stores.ConsumerChanges{
		Put:       []stores.SubscriptionRow{plain, one, two, three},
		Wildcards: []stores.Wildcard{{Consumer: 2, Pattern: "eventstore.>"}, {Consumer: 4, Pattern: "Größe.*"}},
		Positions: []stores.Position{
			{Channel: a, Consumer: 1, Row: &stores.PositionRow{LastSent: 7, Members: []uint64{1}}},
			{Consumer: 2, Row: &stores.PositionRow{LastSent: 3000, Members: []uint64{2, 3}}, Parts: map[uint64][]stores.Run{
				0: {{Subscription: 2, First: 5, Last: 6}}, 2: {{Subscription: 3, First: 3000, Last: 3000}},
			}},
			{Consumer: 4, Row: &stores.PositionRow{LastSent: 1, Members: []uint64{4}}},
		},
	})
	expectWildcards := func(state *stores.State, want ...string) {
		t.Helper()
		var got []string
		for _, w := range state.Wildcards {
			one := stores.ChannelState{Channel: a, Consumers: []*stores.Consumer{w.Consumer}}
			got = append(got, w.Pattern+" "+consumersText(&stores.State{Channels: []stores.ChannelState{one}}, "a"))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("wildcards:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	s, state := restart(t, s, o)
	expectWildcards(state, "eventstore.> 2 at 3000 [2 3]: 2=[5 6] 3=[3000]", "Größe.* 4 at 1 [4]:")
	expectConsumers(t, state, "a", "1 at 7 [1]:")
	if id := s.NewSubscriptionID(); id != 5 {
		t.Errorf("the next subscription has ID %d", id)
	}
	changes := stores.ConsumerChanges{
		Delete:        []stores.SubscriptionKey{{ID: 2}, {ID: 4}},
		Positions:     []stores.Position{{Consumer: 2, Row: &stores.PositionRow{LastSent: 3001, Members: []uint64{3}}, Parts: map[uint64][]stores.Run{0: nil}}},
		Drop:          []uint64{4},
		DropWildcards: []uint64{4},
	}
	saveConsumers(t, s, changes)
	saveConsumers(t, s, changes)
	s, state = restart(t, s, o)
	expectWildcards(state, "eventstore.> 2 at 3001 [3]: 3=[3000]")
	saveConsumers(t, s, stores.ConsumerChanges{Delete: []stores.SubscriptionKey{{ID: 3}}, Drop: []uint64{2}, DropWildcards: []uint64{2}})
	_, state = restart(t, s, o)
	expectWildcards(state)
	for text, want := range map[string]string{
		"SELECT COUNT(*) FROM Subscriptions": "1",
		"SELECT COUNT(*) FROM Consumers":     "1",
		"SELECT COUNT(*) FROM Wildcards":     "0",
	} {
		if got := queryText(t, raw(t, o), text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}
