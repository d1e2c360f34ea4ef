package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/sql"
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

func testNoMigrate(t *testing.T, o stores.Options) {
	o.NoMigrate = true
	ctx := testContext(t)
	files, err := sql.Files(o.Driver)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stores.Open(ctx, o)
	var behind *stores.SchemaError
	if !errors.As(err, &behind) || behind.Version != 0 || len(behind.Files) != len(files) {
		t.Fatalf("error %v", err)
	}
	if _, err := raw(t, o).ExecContext(ctx, "SELECT 1 FROM goose_db_version"); err == nil {
		t.Fatal("the check changed the database")
	}
	o.NoMigrate = false
	s, _ := lead(t, o)
	s.Close()
	o.NoMigrate = true
	lead(t, o)

	db := raw(t, o)
	exec(t, db, "DELETE FROM goose_db_version WHERE version_id > 1")
	_, err = stores.Open(ctx, o)
	if !errors.As(err, &behind) || behind.Version != 1 || behind.Needed != files[len(files)-1].Version {
		t.Fatalf("error %v", err)
	}
	want := fmt.Sprintf("schema of the database is at version 1, this server needs %d: an administrator must run %s, %s, ", files[len(files)-1].Version, files[1].Path, files[2].Path)
	if !strings.HasPrefix(behind.Error(), want) || len(behind.Files) != len(files)-1 {
		t.Errorf("error %q, want %q…", behind, want)
	}
	exec(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, "+applied(o)+")")
	for _, o.NoMigrate = range []bool{true, false} {
		open(t, o) // whatever version 99 is, it needs nothing of its programs
	}
}

// applied is the value of is_applied in the records of migrations.
func applied(o stores.Options) string {
	return map[bool]string{true: "1", false: "TRUE"}[o.Driver == "sqlite"]
}

// testNewerSchema: a store works on a schema that newer migrations only added to, and refuses one that a migration took from.
func testNewerSchema(t *testing.T, o stores.Options) {
	files, err := sql.Files(o.Driver)
	if err != nil {
		t.Fatal(err)
	}
	known := files[len(files)-1].Version
	s, _ := lead(t, o)
	db := raw(t, o)
	for _, statement := range []string{
		"ALTER TABLE Messages ADD COLUMN later INTEGER", "ALTER TABLE Channels ADD COLUMN later INTEGER NOT NULL DEFAULT 7", "CREATE TABLE Later (id INTEGER)",
		fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, %s)", known+1, applied(o)),
	} {
		exec(t, db, statement) // while the older store has the lease
	}
	c := channel(t, s, "eventstore.c")
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, c)), "1")
	s.Close()

	var log bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, _ = lead(t, o)
	if want := fmt.Sprintf("newer than this server, and has everything that it needs\" version=%d known=%d", known+1, known); strings.Count(log.String(), want) != 1 {
		t.Errorf("no %q in the log:\n%s", want, log.String())
	}
	c = s.Channel("eventstore.c")
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, c), event{aggregate: "b"}.on(t, channel(t, s, "eventstore.d"))), "2", "1")
	readAll(t, s, c)

	// A migration that took away what only programs before this one need.
	exec(t, db, "ALTER TABLE goose_db_version ADD COLUMN min_version BIGINT")
	exec(t, db, fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied, min_version) VALUES (%d, %s, %d)", known+2, applied(o), known))
	open(t, o)
	checked, err := stores.Check(testContext(t), o)
	if err != nil || checked.Version != known+2 || checked.Needed != known || len(checked.Channels) != 2 {
		t.Errorf("Check returns %+v, %v", checked, err)
	} else if err := checked.Close(); err != nil {
		t.Error(err)
	}
	_, err = stores.Inspect(testContext(t), o) // for a migration
	expectError(t, err, stores.ErrTooNew)
	if _, err := s.Recover(testContext(t)); err != nil {
		t.Error(err)
	}
	// One that took away what this one needs.
	exec(t, db, fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied, min_version) VALUES (%d, %s, %d)", known+3, applied(o), known+1))
	_, opening := stores.Open(testContext(t), o)
	_, checking := stores.Check(testContext(t), o)
	_, recovering := s.Recover(testContext(t))
	want := fmt.Sprintf("it is at version %d and needs a server that knows version %d or later, this one knows version %d: start a newer server", known+3, known+1, known)
	for _, err := range []error{opening, checking, recovering} {
		expectError(t, err, stores.ErrTooNew)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want …%s…", err, want)
		}
	}
}

// testMigrationsRunAgain: a migration that stopped between its changes and its version runs again and changes nothing.
func testMigrationsRunAgain(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	c := channel(t, s, "eventstore.c")
	appendAll(t, s, event{aggregate: "a"}.on(t, c), event{aggregate: "a"}.on(t, c))
	files, err := sql.Files(o.Driver)
	if err != nil {
		t.Fatal(err)
	}
	for version := range files {
		exec(t, raw(t, o), fmt.Sprintf("DELETE FROM goose_db_version WHERE version_id > %d", version))
		info := s.Channel("eventstore.c").Info()
		s, _ = restart(t, s, o)
		if got := s.Channel("eventstore.c").Info(); got != info {
			t.Errorf("from version %d: %+v, want %+v", version, got, info)
		}
		if got := queryText(t, raw(t, o), "SELECT COUNT(*) FROM goose_db_version"); got != fmt.Sprint(len(files)+1) {
			t.Errorf("from version %d: %s versions are recorded", version, got)
		}
	}
	if got := queryText(t, raw(t, o), "SELECT COUNT(*) FROM StoreLock"); got != "1" {
		t.Errorf("%s leases", got)
	}
}

// testMigrationWaits: a migration that waits for a reader of the lease keeps renewing the lease.
func testMigrationWaits(t *testing.T, o stores.Options) {
	if o.Driver == "sqlite" {
		return // its lease has no such migration
	}
	before, _ := lead(t, o)
	before.Close()
	db := raw(t, o)
	exec(t, db, "ALTER TABLE StoreLock DROP COLUMN epoch")
	exec(t, db, "DELETE FROM goose_db_version WHERE version_id >= 6")
	reader, err := db.BeginTx(testContext(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	var id string
	if err := reader.QueryRowContext(testContext(t), "SELECT id FROM StoreLock").Scan(&id); err != nil {
		t.Fatal(err)
	}
	opened := make(chan error)
	go func() {
		s, err := stores.Open(testContext(t), o)
		if err != nil {
			opened <- err
			return
		}
		defer s.Close()
		if held, _, err := s.TryLease(testContext(t), "server", stores.Lease{}); err != nil || !held {
			opened <- fmt.Errorf("held %v: %w", held, err)
			return
		}
		_, err = s.Recover(testContext(t))
		opened <- err
	}()
	waiting := map[string]string{
		"postgres": "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
		"mysql":    "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND state LIKE 'Waiting for table metadata lock'",
	}[o.Driver]
	for queryText(t, db, waiting) == "0" {
		select {
		case err := <-opened:
			t.Fatalf("the migration did not wait for the reader: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	tick := func() string { return queryText(t, db, "SELECT tick FROM StoreLock") }
	for at := tick(); tick() == at; { // the migration gives way
		select {
		case err := <-opened:
			t.Fatalf("the migration did not wait for the reader: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	if got := queryText(t, db, "SELECT epoch FROM StoreLock"); got != "1" {
		t.Errorf("epoch %s", got)
	}
}

// testMigrationOfStandby: a newer standby leaves the schema of an older leader alone, and migrates it once it holds the
// lease.
func testMigrationOfStandby(t *testing.T, o stores.Options) {
	active, _ := lead(t, o)
	c := channel(t, active, "eventstore.c")
	db := raw(t, o)
	exec(t, db, "DELETE FROM goose_db_version WHERE version_id >= 5")
	version := func() string { return queryText(t, db, "SELECT MAX(version_id) FROM goose_db_version") }

	var log bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	standby := open(t, o)
	held, _, err := standby.TryLease(testContext(t), "standby", stores.Lease{})
	if err != nil || held {
		t.Fatalf("held %v, error %v", held, err)
	}
	if got := version(); got != "4" {
		t.Errorf("the standby migrated the schema to version %s", got)
	}
	if strings.Count(log.String(), "once it holds the lease") != 1 {
		t.Errorf("log:\n%s", log.String())
	}
	expect(t, appendAll(t, active, event{aggregate: "a"}.on(t, c)), "1")
	if err := active.ReleaseLease(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if o.Driver != "sqlite" {
		exec(t, db, "ALTER TABLE StoreLock DROP COLUMN epoch")
	}
	if held, _, err := standby.TryLease(testContext(t), "standby", stores.Lease{}); err != nil || !held {
		t.Fatalf("held %v, error %v", held, err)
	}
	if _, err := standby.Recover(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := version(); got == "4" {
		t.Error("the schema is not migrated")
	}
	c = standby.Channel("eventstore.c")
	expect(t, appendAll(t, standby, event{aggregate: "a"}.on(t, c)), "2")
	expect(t, appendAll(t, standby, event{aggregate: "a"}.on(t, c), event{aggregate: "a"}.on(t, c)), "3", "4")
	if err := standby.SaveRelay(testContext(t), "stream", []byte("x")); err != nil {
		t.Error(err)
	}
	readAll(t, standby, c)
}
