package storetest

import (
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func testPrune(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c, other := channel(t, s, "plain"), channel(t, s, "other")
	var batch []stores.Append
	for range 20 {
		batch = append(batch, stores.Append{Channel: c, Payload: []byte("x")}, stores.Append{Channel: other, Payload: []byte("y")})
	}
	size := uint64(len(appendAll(t, s, batch...)[0].Message.Data))

	check := func(first, last, msgs uint64) {
		t.Helper()
		info := c.Info()
		if info.First != first || info.Last != last || info.Msgs != msgs || info.Bytes != msgs*size {
			t.Errorf("channel is %+v, want first %d, last %d, %d messages of %d bytes", info, first, last, msgs, size)
		}
	}
	prune := func(upTo uint64) {
		t.Helper()
		if err := s.Prune(testContext(t), c, upTo); err != nil {
			t.Fatal(err)
		}
	}
	prune(0)
	check(1, 20, 20)
	prune(5)
	check(6, 20, 15)
	prune(5)
	check(6, 20, 15)
	s, state := restart(t, s, o)
	c, other = state.Channels[0].Channel, state.Channels[1].Channel
	check(6, 20, 15)
	prune(1000)
	check(0, 20, 0)
	expect(t, appendAll(t, s, stores.Append{Channel: c, Payload: []byte("x")}), "21")
	check(21, 21, 1)
	if info := other.Info(); info.Msgs != 20 {
		t.Errorf("the other channel is %+v", info)
	}

	events := channel(t, s, "events")
	appendAll(t, s, event{aggregate: "A"}.on(t, events))
	if err := s.Prune(testContext(t), events, 1); err == nil {
		t.Error("an event was removed")
	}
}

func testDeleteChannel(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "c")
	appendAll(t, s, stores.Append{Channel: c, Payload: []byte("x")}, stores.Append{Channel: c, Payload: []byte("y")})
	if err := s.CreateSubscription(testContext(t), c, &spb.SubState{ClientID: "me"}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteChannel(testContext(t), c); err != nil {
		t.Fatal(err)
	}
	if s.Channel("c") != nil {
		t.Error("the channel is still there")
	}
	results, err := s.Append(testContext(t), []stores.Append{{Channel: c, Payload: []byte("z")}})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, results, stores.ErrUnknownChannel.Error())

	events := channel(t, s, "events")
	appendAll(t, s, stores.Append{Channel: events, Payload: []byte("x")}, event{aggregate: "A"}.on(t, events), stores.Append{Channel: events, Payload: []byte("x")})
	expectError(t, s.DeleteChannel(testContext(t), events), stores.ErrRefused)
	if s.Channel("events") != events {
		t.Error("a channel that holds events is gone")
	}

	// Another channel takes its name at once. The removal does not touch it, even after a restart in between.
	again := channel(t, s, "c")
	expect(t, appendAll(t, s, stores.Append{Channel: again, Payload: []byte("new")}), "1")
	s, state := restart(t, s, o)
	if len(state.Channels) != 2 || len(state.Channels[0].Subscriptions)+len(state.Channels[1].Subscriptions) != 0 {
		t.Fatalf("recovered %+v", state.Channels)
	}
	for range 2 {
		if err := s.PurgeDeleted(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	db := raw(t, o)
	for text, want := range map[string]string{
		"SELECT COUNT(*) FROM Messages":      "4",
		"SELECT COUNT(*) FROM Channels":      "2",
		"SELECT COUNT(*) FROM Subscriptions": "0",
		"SELECT COUNT(*) FROM SubsPending":   "0",
	} {
		if got := queryText(t, db, text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}
