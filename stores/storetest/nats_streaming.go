package storetest

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// natsStreaming creates the tables of NATS Streaming 0.25.6.
var natsStreaming = map[string][]string{
	"postgres": {
		"CREATE TABLE ServerInfo (uniquerow INTEGER DEFAULT 1, id VARCHAR(1024), proto BYTEA, version INTEGER, PRIMARY KEY (uniquerow))",
		"CREATE TABLE Clients (id VARCHAR(1024), hbinbox TEXT, PRIMARY KEY (id))",
		"CREATE TABLE Channels (id INTEGER, name VARCHAR(1024) NOT NULL, maxseq BIGINT DEFAULT 0, maxmsgs INTEGER DEFAULT 0, maxbytes BIGINT DEFAULT 0, maxage BIGINT DEFAULT 0, deleted BOOL DEFAULT FALSE, PRIMARY KEY (id))",
		"CREATE INDEX Idx_ChannelsName ON Channels (name(256))",
		"CREATE TABLE Messages (id INTEGER, seq BIGINT, timestamp BIGINT, size INTEGER, data BYTEA, CONSTRAINT PK_MsgKey PRIMARY KEY(id, seq))",
		"CREATE INDEX Idx_MsgsTimestamp ON Messages (timestamp)",
		"CREATE TABLE Subscriptions (id INTEGER, subid BIGINT, lastsent BIGINT DEFAULT 0, proto BYTEA, deleted BOOL DEFAULT FALSE, CONSTRAINT PK_SubKey PRIMARY KEY(id, subid))",
		"CREATE TABLE SubsPending (subid BIGINT, row BIGINT, seq BIGINT DEFAULT 0, lastsent BIGINT DEFAULT 0, pending BYTEA, acks BYTEA, CONSTRAINT PK_MsgPendingKey PRIMARY KEY(subid, row))",
		"CREATE INDEX Idx_SubsPendingSeq ON SubsPending (seq)",
		"CREATE TABLE StoreLock (id VARCHAR(30), tick BIGINT DEFAULT 0)",
		"ALTER TABLE Clients ADD proto BYTEA",
	},
	"mysql": {
		"CREATE TABLE ServerInfo (uniquerow INT DEFAULT 1, id VARCHAR(1024), proto BLOB, version INTEGER, PRIMARY KEY (uniquerow))",
		"CREATE TABLE Clients (id VARCHAR(1024), hbinbox TEXT, PRIMARY KEY (id(256)))",
		"CREATE TABLE Channels (id INTEGER, name VARCHAR(1024) NOT NULL, maxseq BIGINT UNSIGNED DEFAULT 0, maxmsgs INTEGER DEFAULT 0, maxbytes BIGINT DEFAULT 0, maxage BIGINT DEFAULT 0, deleted BOOL DEFAULT FALSE, PRIMARY KEY (id), INDEX Idx_ChannelsName (name(256)))",
		"CREATE TABLE Messages (id INTEGER, seq BIGINT UNSIGNED, timestamp BIGINT, size INTEGER, data BLOB, CONSTRAINT PK_MsgKey PRIMARY KEY(id, seq), INDEX Idx_MsgsTimestamp (timestamp))",
		"CREATE TABLE Subscriptions (id INTEGER, subid BIGINT UNSIGNED, lastsent BIGINT UNSIGNED DEFAULT 0, proto BLOB, deleted BOOL DEFAULT FALSE, CONSTRAINT PK_SubKey PRIMARY KEY(id, subid))",
		"CREATE TABLE SubsPending (subid BIGINT UNSIGNED, `row` BIGINT UNSIGNED, seq BIGINT UNSIGNED DEFAULT 0, lastsent BIGINT UNSIGNED DEFAULT 0, pending BLOB, acks BLOB, CONSTRAINT PK_MsgPendingKey PRIMARY KEY(subid, `row`), INDEX Idx_SubsPendingSeq(seq))",
		"CREATE TABLE StoreLock (id VARCHAR(30), tick BIGINT UNSIGNED DEFAULT 0)",
		"ALTER TABLE Clients ADD proto BLOB",
	},
}

// testDatabaseOfNATSStreaming opens a database that NATS Streaming 0.25.6 left.
func testDatabaseOfNATSStreaming(t *testing.T, o stores.Options) {
	tables := natsStreaming[o.Driver]
	if tables == nil {
		return // NATS Streaming does not support this database
	}
	db := raw(t, o)
	for _, text := range tables {
		exec(t, db, text)
	}
	server := &spb.ServerInfo{ClusterID: "test-cluster", Publish: "_STAN.pub"}
	insert := func(format string, args ...any) {
		t.Helper()
		exec(t, db, fmt.Sprintf(format, args...))
	}
	insert("INSERT INTO ServerInfo (id, proto, version) VALUES ('test-cluster', %s, 1)", blob(o, encode(t, server)))
	insert("INSERT INTO Clients VALUES ('me', 'inbox', %s)", blob(o, encode(t, &spb.ClientInfo{ID: "me", HbInbox: "inbox", Protocol: 1})))
	insert("INSERT INTO StoreLock VALUES ('dead', 17)")
	for _, name := range []string{"full", "pruned", "emptied", "empty", "deleted"} {
		insert("INSERT INTO Channels (id, name, maxmsgs, maxbytes, maxage) VALUES (%d, '%s', 1000000, 1000000000, 0)", map[string]int{"full": 1, "pruned": 2, "emptied": 3, "empty": 4, "deleted": 5}[name], name)
	}
	insert("UPDATE Channels SET maxseq = 5 WHERE name = 'emptied'")
	insert("UPDATE Channels SET deleted = TRUE WHERE name = 'deleted'")
	bytes := uint64(0)
	message := func(channel int, name string, seq uint64) {
		t.Helper()
		data := encode(t, &pb.MsgProto{Sequence: seq, Subject: name, Data: []byte("data"), Timestamp: int64(1000 * seq)})
		if channel == 1 {
			bytes += uint64(len(data))
		}
		insert("INSERT INTO Messages VALUES (%d, %d, %d, %d, %s)", channel, seq, 1000*seq, len(data), blob(o, data))
	}
	for seq := range uint64(4) {
		message(1, "full", seq+1)
		message(2, "pruned", seq+100)
	}
	message(5, "deleted", 1)
	insert("INSERT INTO Subscriptions (id, subid, proto) VALUES (1, 6, %s)", blob(o, encode(t, &spb.SubState{ID: 6, ClientID: "me"})))
	insert("INSERT INTO Subscriptions (id, subid, lastsent, proto) VALUES (2, 7, 107, %s)", blob(o, encode(t, &spb.SubState{ID: 7, ClientID: "me"})))
	insert("INSERT INTO Subscriptions (id, subid, proto, deleted) VALUES (1, 8, %s, TRUE)", blob(o, encode(t, &spb.SubState{ID: 8})))

	s := open(t, o)
	ctx := testContext(t)
	held, seen, err := s.TryLease(ctx, "server", stores.Lease{})
	if err != nil || held || seen != (stores.Lease{Holder: "dead", Tick: 17}) {
		t.Fatal(held, seen, err)
	}
	if held, _, err = s.TryLease(ctx, "server", seen); err != nil || !held {
		t.Fatal(held, err)
	}
	state, err := s.Recover(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if *state.Server != *server || len(state.Clients) != 1 || state.Clients[0].Protocol != 1 {
		t.Errorf("recovered %+v %+v", state.Server, state.Clients)
	}
	want := map[string]stores.ChannelInfo{
		"full":    {First: 1, Last: 4, Msgs: 4, Bytes: bytes, LastTime: 4000},
		"pruned":  {First: 100, Last: 107, Msgs: 4, Bytes: bytes + 4, LastTime: 103000}, // longer subject, higher numbers
		"emptied": {Last: 5},
		"empty":   {},
	}
	got := map[string]stores.ChannelInfo{}
	for _, c := range state.Channels {
		info := c.Channel.Info()
		if c.Channel.Name() == "pruned" {
			info.Bytes = bytes + 4
		}
		got[c.Channel.Name()] = info
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("recovered %+v\nwant %+v", got, want)
	}
	if subs := state.Channels[0].Subscriptions; len(subs) != 1 || subs[0].State.ID != 6 {
		t.Errorf("subscriptions: %+v", subs)
	}
	sub := &spb.SubState{}
	if err := s.CreateSubscription(ctx, s.Channel("full"), sub); err != nil || sub.ID != 9 {
		t.Error(sub.ID, err)
	}
	expect(t, appendAll(t, s,
		stores.Append{Channel: s.Channel("full"), Payload: make([]byte, 100_000)}, // a BLOB of MySQL holds 65,535
		stores.Append{Channel: s.Channel("pruned")}, stores.Append{Channel: s.Channel("emptied")}, stores.Append{Channel: s.Channel("empty")},
		event{aggregate: "a"}.on(t, s.Channel("full")),
	), "5", "108", "6", "1", "6")
	if c := channel(t, s, "deleted"); c.Info() != (stores.ChannelInfo{}) {
		t.Errorf("a deleted channel is back: %+v", c.Info())
	}
	// A name in any script fits, whatever the default character set was.
	channel(t, s, "заказы.注文")
	s, _ = restart(t, s, o)
	if s.Channel("заказы.注文") == nil {
		t.Error("the channel's name was changed")
	}
	readAll(t, s, s.Channel("full"))
}

func encode(t *testing.T, message interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	data, err := message.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testProgressOfNATSStreaming recovers SubsPending as NATS Streaming writes it, with and without caching.
func testProgressOfNATSStreaming(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	ctx := testContext(t)
	c := channel(t, s, "c")
	for range 5 {
		if err := s.CreateSubscription(ctx, c, &spb.SubState{ClientID: "me", LastSent: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SaveProgress(ctx, []stores.Progress{{Subscription: 5, LastSent: 3, Unacked: []uint64{3}}}); err != nil {
		t.Fatal(err)
	}
	db := raw(t, o)
	row := map[string]string{"mysql": "`row`"}[o.Driver]
	if row == "" {
		row = `"row"`
	}
	insert := func(values string, columns string) {
		t.Helper()
		exec(t, db, fmt.Sprintf("INSERT INTO SubsPending (subid, %s, %s) VALUES %s", row, columns, values))
	}
	text := func(sequences string) string { return blob(o, []byte(sequences)) }
	insert("(1, 1, 5), (1, 2, 4), (1, 3, 9)", "seq")
	exec(t, db, "UPDATE Subscriptions SET lastsent = 8 WHERE subid = 1")
	insert(fmt.Sprintf("(2, 1, 6, %s, NULL), (2, 7, 8, %s, %s), (2, 8, 8, NULL, %s)", text("[6,3,5,4]"), text("[8,7]"), text("[4,3]"), text("[7]")), "lastsent, pending, acks")
	insert(fmt.Sprintf("(3, 1, 0, %s, NULL)", text("[11]")), "lastsent, pending, acks")
	exec(t, db, "UPDATE Subscriptions SET lastsent = 12 WHERE subid = 4")
	insert(fmt.Sprintf("(5, 9, 4, %s, %s), (17, 1, 4, %s, NULL)", text("[4]"), text("[3]"), text("[4]")), "lastsent, pending, acks")

	check := func(state *stores.State, wants map[uint64]string) {
		t.Helper()
		for _, sub := range state.Channels[0].Subscriptions {
			got := fmt.Sprint(sub.State.LastSent, " ", sub.Unacked)
			if want := wants[sub.State.ID]; got != want {
				t.Errorf("subscription %d: %s, want %s", sub.State.ID, got, want)
			}
		}
	}
	s, state := restart(t, s, o)
	check(state, map[uint64]string{1: "9 [4 5 9]", 2: "8 [5 6 8]", 3: "11 [11]", 4: "12 []", 5: "4 [4]"})
	if last := s.Channel("c").Info().Last; last != 12 {
		t.Errorf("last sequence %d is below what was sent", last)
	}
	if err := s.SaveProgress(ctx, []stores.Progress{{Subscription: 1, LastSent: 10, Unacked: []uint64{10}}, {Subscription: 2, LastSent: 8}}); err != nil {
		t.Fatal(err)
	}
	s, state = restart(t, s, o)
	check(state, map[uint64]string{1: "10 [10]", 2: "8 []", 3: "11 [11]", 4: "12 []", 5: "4 [4]"})
	sub := &spb.SubState{}
	if err := s.CreateSubscription(ctx, s.Channel("c"), sub); err != nil || sub.ID != 18 {
		t.Errorf("ID %d inherits the rows of another: %v", sub.ID, err)
	}
}
