package raftlog

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"
	"go.etcd.io/bbolt"

	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// written is a log as a node writes it.
type written struct {
	t       *testing.T
	dir     string
	entries []entry
}

func (w *written) op(op *spb.RaftOperation) {
	w.t.Helper()
	data, err := op.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	w.entries = append(w.entries, entry{Term: 2, Type: typeCommand, Data: data})
}

func (w *written) members(ids ...string) {
	w.t.Helper()
	c := struct {
		Servers []struct {
			Suffrage    int
			ID, Address string
		}
	}{}
	for _, id := range ids {
		c.Servers = append(c.Servers, struct {
			Suffrage    int
			ID, Address string
		}{ID: id, Address: id})
	}
	var data []byte
	if err := codec.NewEncoderBytes(&data, &codec.MsgpackHandle{}).Encode(c); err != nil {
		w.t.Fatal(err)
	}
	w.entries = append(w.entries, entry{Term: 1, Type: typeConfiguration, Data: data})
}

func (w *written) publish(channel string, from, to uint64) {
	batch := &spb.Batch{}
	for sequence := from; sequence <= to; sequence++ {
		batch.Messages = append(batch.Messages, &pb.MsgProto{Sequence: sequence, Subject: channel, Timestamp: int64(sequence)})
	}
	w.op(&spb.RaftOperation{OpType: spb.RaftOperation_Publish, PublishBatch: batch, ChannelID: 7})
}

func (w *written) subscribe(client, durable, group, inbox string, id, start uint64) {
	w.op(&spb.RaftOperation{OpType: spb.RaftOperation_Subscribe, ChannelID: 7, Sub: &spb.AddSubscription{
		ID: id, AckInbox: "ack." + inbox, Request: &pb.SubscriptionRequest{
			ClientID: client, Subject: "c", DurableName: durable, QGroup: group, Inbox: inbox, MaxInFlight: 10, AckWaitInSecs: 30,
			StartPosition: pb.StartPosition_SequenceStart, StartSequence: start,
		},
	}})
}

func (w *written) progress(inbox string, sent, acked []uint64) {
	w.op(&spb.RaftOperation{OpType: spb.RaftOperation_SendAndAck, SubSentAck: &spb.SubSentAndAck{Channel: "c", AckInbox: "ack." + inbox, Sent: sent, Ack: acked}})
}

func (w *written) leave(inbox string, forGood bool) {
	kind := spb.RaftOperation_CloseSubscription
	if forGood {
		kind = spb.RaftOperation_RemoveSubscription
	}
	w.op(&spb.RaftOperation{OpType: kind, Unsub: &pb.UnsubscribeRequest{ClientID: "one", Subject: "c", Inbox: "ack." + inbox}})
}

// open writes the log and opens it.
func (w *written) open() *Log {
	w.t.Helper()
	db, err := bbolt.Open(filepath.Join(w.dir, logFile), 0o600, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		channels, err := tx.CreateBucketIfNotExists([]byte("channels"))
		if err != nil {
			return err
		}
		if err := channels.Put([]byte("c"), binary.BigEndian.AppendUint64(nil, 7)); err != nil {
			return err
		}
		logs, err := tx.CreateBucketIfNotExists([]byte("logs"))
		if err != nil {
			return err
		}
		for i, e := range w.entries {
			e.Index = uint64(i + 1)
			var data []byte
			if err := codec.NewEncoderBytes(&data, &codec.MsgpackHandle{}).Encode(e); err != nil {
				return err
			}
			if err := logs.Put(binary.BigEndian.AppendUint64(nil, e.Index), data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := Open(w.dir, Options{}); err == nil || !strings.Contains(err.Error(), ErrInUse.Error()) {
		w.t.Errorf("the log of a running node: %v", err)
	}
	if err := db.Close(); err != nil {
		w.t.Fatal(err)
	}
	l, err := Open(w.dir, Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := l.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return l
}

// stored is a FILE store that has the first messages of the channel "c".
func stored(last uint64) *former.Store {
	return &former.Store{Info: &spb.ServerInfo{}, OnlyMessages: true, Channels: []*former.Channel{{
		Name: "c", First: 1, Last: last,
		Read: func(_ context.Context, from uint64) (batch []*pb.MsgProto, next uint64, err error) {
			for sequence := from; sequence <= last; sequence++ {
				batch = append(batch, &pb.MsgProto{Sequence: sequence})
			}
			return batch, max(last, from) + 1, nil
		},
	}}}
}

func connect(client string) *spb.RaftOperation {
	return &spb.RaftOperation{OpType: spb.RaftOperation_Connect, ClientConnect: &spb.AddClient{Request: &pb.ConnectRequest{ClientID: client, HeartbeatInbox: "hb." + client, ConnID: []byte(client)}}}
}

// A log completes the store of its node with clients, subscriptions and the last messages.
func TestApply(t *testing.T) {
	w := &written{t: t, dir: t.TempDir()}
	w.members("a", "b", "c")
	w.op(connect("one"))
	w.op(connect("two"))
	w.publish("c", 1, 4)
	w.subscribe("one", "dur", "", "dur", 1, 1)
	w.subscribe("one", "", "", "plain", 2, 3)
	w.subscribe("one", "d", "group", "member-1", 3, 1)
	w.subscribe("two", "d", "group", "member-2", 4, 1)
	w.progress("dur", []uint64{1, 2, 3}, []uint64{2})
	w.progress("member-1", []uint64{1, 3}, nil)
	w.progress("member-2", []uint64{2}, []uint64{2})
	w.leave("dur", false)
	w.leave("member-1", false) // 1 and 3 go to the other
	w.progress("member-2", []uint64{1, 3}, []uint64{1})
	w.publish("c", 5, 6)
	w.op(&spb.RaftOperation{OpType: spb.RaftOperation_Disconnect, ClientDisconnect: &pb.CloseRequest{ClientID: "two"}})
	l := w.open()
	if !slices.Equal(l.Members, []string{"a", "b", "c"}) || l.Term != 2 || l.Index != uint64(len(w.entries)) {
		t.Errorf("members %v, term %d, index %d", l.Members, l.Term, l.Index)
	}
	s := stored(4)
	if err := l.Apply(s); err != nil {
		t.Fatal(err)
	}
	if len(s.Clients) != 1 || s.Clients[0].ID != "one" || s.OnlyMessages {
		t.Errorf("clients %v", s.Clients)
	}
	c := s.Channel("c")
	var got []uint64
	for next := uint64(1); next <= c.Last; {
		batch, after, err := c.Read(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range batch {
			got = append(got, m.Sequence)
		}
		next = after
	}
	if !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("messages %v", got)
	}
	want := []former.Subscription{
		{State: &spb.SubState{ID: 1, ClientID: "one", DurableName: "dur", IsClosed: true}, LastSent: 3, Unacked: []uint64{1, 3}},
		{State: &spb.SubState{ID: 2, ClientID: "one"}, LastSent: 2},
		{State: &spb.SubState{ID: 4, QGroup: "d:group"}, LastSent: 3, Unacked: []uint64{3}},
	}
	if len(c.Subscriptions) != len(want) {
		t.Fatalf("%d subscriptions", len(c.Subscriptions))
	}
	for i, sub := range c.Subscriptions {
		a, b := sub.State, want[i].State
		if a.ID != b.ID || a.ClientID != b.ClientID || a.DurableName != b.DurableName || a.QGroup != b.QGroup || a.IsClosed != b.IsClosed ||
			sub.LastSent != want[i].LastSent || !slices.Equal(sub.Unacked, want[i].Unacked) {
			t.Errorf("subscription %d: %v, sent %d, unacknowledged %v", i, a, sub.LastSent, sub.Unacked)
		}
	}
	if best, certain := Newest([]*Log{l}); best != 0 || certain {
		t.Error("one node of three is taken for a majority")
	}
	if best, certain := Newest([]*Log{{Term: 1, Index: 99}, l}); best != 1 || !certain {
		t.Errorf("of two nodes of three, %d is taken, %v", best, certain)
	}
}

// A node that must fetch messages from others cannot be read.
func TestApplyBehind(t *testing.T) {
	w := &written{t: t, dir: t.TempDir()}
	w.publish("c", 9, 9)
	if err := w.open().Apply(stored(4)); err == nil || !strings.Contains(err.Error(), "lacks messages") {
		t.Errorf("got %v", err)
	}
}

// A channel that was deleted, and one that was made again, has nothing of before.
func TestApplyDeleted(t *testing.T) {
	w := &written{t: t, dir: t.TempDir()}
	w.op(connect("one"))
	w.publish("gone", 1, 3)
	w.op(&spb.RaftOperation{OpType: spb.RaftOperation_DeleteChannel, Channel: "gone", ChannelID: 7})
	w.op(&spb.RaftOperation{OpType: spb.RaftOperation_Publish, ChannelID: 6, PublishBatch: &spb.Batch{Messages: []*pb.MsgProto{{Sequence: 50, Subject: "c"}}}})
	s := stored(4)
	if err := w.open().Apply(s); err != nil {
		t.Fatal(err)
	}
	if s.Channel("gone") != nil || s.Channel("c").Last != 4 {
		t.Errorf("channels %v", s.Channels)
	}
}
