package storetest

import (
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func testRecoverEmpty(t *testing.T, o stores.Options) {
	s, state := lead(t, o)
	if state.Server != nil || len(state.Clients) != 0 || len(state.Channels) != 0 {
		t.Fatalf("a new database has %+v", state)
	}
	info := &spb.ServerInfo{ClusterID: "test-cluster", Publish: "_STAN.pub.x"}
	for range 2 {
		if err := s.SetServerInfo(testContext(t), info); err != nil {
			t.Fatal(err)
		}
		info.Publish = "_STAN.pub.y"
	}
	channel(t, s, "empty")
	s, state = restart(t, s, o)
	if state.Server == nil || *state.Server != *info {
		t.Fatalf("recovered %+v", state.Server)
	}
	if got := s.Channel("empty").Info(); got != (stores.ChannelInfo{}) {
		t.Fatalf("an empty channel has %+v", got)
	}
}

func testClients(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	ctx := testContext(t)
	for _, info := range []*spb.ClientInfo{
		{ID: "me", HbInbox: "old"}, {ID: "me", HbInbox: "inbox", ConnID: []byte{0, 255}, Protocol: 1},
		{ID: "ME", HbInbox: "other"}, {ID: "gone"},
	} {
		if err := s.PutClient(ctx, info); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.DeleteClient(ctx, "gone"); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, raw(t, o), "INSERT INTO Clients (id, hbinbox) VALUES ('ancient', 'inbox')") // of NATS Streaming before 0.10
	_, state := restart(t, s, o)
	got := map[string]spb.ClientInfo{}
	for _, c := range state.Clients {
		got[c.ID] = *c
	}
	want := map[string]spb.ClientInfo{
		"me": {ID: "me", HbInbox: "inbox", ConnID: []byte{0, 255}, Protocol: 1},
		"ME": {ID: "ME", HbInbox: "other"}, "ancient": {ID: "ancient", HbInbox: "inbox"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("recovered %+v", got)
	}
}

func testChannels(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	ctx := testContext(t)
	a, b := channel(t, s, "a"), channel(t, s, "A")
	if a == b || channel(t, s, "a") != a || s.Channel("a") != a || s.Channel("b") != nil {
		t.Fatal("channels are mixed up")
	}
	if _, err := s.CreateChannel(ctx, strings.Repeat("x", 2000)); err == nil && o.Driver != "sqlite" {
		t.Error("no error for a name that is too long")
	}
	made := make(chan *stores.Channel, 8)
	for range cap(made) {
		go func() {
			c, err := s.CreateChannel(ctx, "concurrent")
			if err != nil {
				t.Error(err)
			}
			made <- c
		}()
	}
	for range cap(made) {
		if c := <-made; c != s.Channel("concurrent") {
			t.Error("a name was created twice")
		}
	}
	results := appendAll(t, s, stores.Append{Channel: a}, stores.Append{}, stores.Append{Channel: b})
	expectError(t, results[1].Err, stores.ErrUnknownChannel)
	if results[0].Err != nil || results[2].Err != nil {
		t.Fatal("the others were not stored")
	}
	old := s
	s, _ = restart(t, s, o)
	expectError(t, appendAll(t, s, stores.Append{Channel: a})[0].Err, stores.ErrUnknownChannel)
	_, err := s.Read(ctx, old.Channel("a"), 1, 1, 1, 1)
	expectError(t, err, stores.ErrUnknownChannel)
	if c := channel(t, s, "later"); c.Info() != (stores.ChannelInfo{}) {
		t.Fatalf("a new channel has %+v", c.Info())
	}
}

func testSubscriptions(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	ctx := testContext(t)
	a, b := channel(t, s, "a"), channel(t, s, "b")
	subs := make([]*spb.SubState, 4)
	for i := range subs {
		subs[i] = &spb.SubState{ClientID: "me", Inbox: "in", DurableName: "d", IsDurable: true, LastSent: uint64(i)}
		on := a
		if i == 3 {
			on = b
		}
		if err := s.CreateSubscription(ctx, on, subs[i]); err != nil {
			t.Fatal(err)
		}
		if subs[i].ID != uint64(i+1) {
			t.Fatalf("ID %d", subs[i].ID)
		}
	}
	subs[0].IsClosed = true
	if err := s.UpdateSubscription(ctx, a, subs[0]); err != nil {
		t.Fatal(err)
	}
	many := make([]uint64, 20000) // more than 64 KB
	for i := range many {
		many[i] = 1<<40 + uint64(i)
	}
	for _, progress := range [][]stores.Progress{
		nil,
		{{Subscription: 1, LastSent: 7, Unacked: []uint64{5, 7}}, {Subscription: 2, LastSent: 3}, {Subscription: 4, LastSent: 9, Unacked: []uint64{9}}},
		{{Subscription: 1, LastSent: 8, Unacked: []uint64{1}}, {Subscription: 1, LastSent: 9, Unacked: []uint64{7, 9}}, {Subscription: 2, LastSent: 1<<40 + 20000, Unacked: many}},
		{{Subscription: 3, LastSent: 4, Unacked: []uint64{4}}},
	} {
		if err := s.SaveProgress(ctx, progress); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.DeleteSubscription(ctx, a, 3); err != nil {
			t.Fatal(err)
		}
	}
	if got := queryText(t, raw(t, o), "SELECT COUNT(*) FROM SubsPending"); got != "3" {
		t.Errorf("%s rows of progress", got)
	}
	s, state := restart(t, s, o)
	subs[0].LastSent, subs[1].LastSent, subs[3].LastSent = 9, 1<<40+20000, 9
	want := [][]stores.Subscription{
		{{State: subs[0], Unacked: []uint64{7, 9}}, {State: subs[1], Unacked: many}},
		{{State: subs[3], Unacked: []uint64{9}}},
	}
	for i, c := range state.Channels {
		if !reflect.DeepEqual(c.Subscriptions, want[i]) {
			t.Errorf("channel %s: recovered %+v", c.Channel.Name(), c.Subscriptions)
		}
	}
	// All acknowledged.
	if err := s.SaveProgress(ctx, []stores.Progress{{Subscription: 1, LastSent: 9}}); err != nil {
		t.Fatal(err)
	}
	sub := &spb.SubState{}
	if err := s.CreateSubscription(ctx, s.Channel("a"), sub); err != nil || sub.ID != 5 {
		t.Fatal(sub.ID, err)
	}
	_, state = restart(t, s, o)
	if got := state.Channels[0].Subscriptions[0]; len(got.Unacked) != 0 || got.State.LastSent != 9 {
		t.Errorf("recovered %+v", got)
	}
}
