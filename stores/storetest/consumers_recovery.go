package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

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
