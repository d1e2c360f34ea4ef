package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/sql"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

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
		if o.Driver == "sqlite" && version < withoutColumns {
			continue // its migrations are transactions: none stops half-way
		}
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

// withoutColumns is the version of the last migration that adds a column in SQLite, which can not add one "if it is absent".
const withoutColumns = 16

// takePositions undoes what migration 10 added, and the columns of later ones, as if they had never run.
func takePositions(t *testing.T, o stores.Options) {
	t.Helper()
	db := raw(t, o)
	texts := []string{"DROP VIEW events", "DROP VIEW consumer_status", "DROP VIEW parked_messages", "DROP VIEW erasure_log"}
	switch o.Driver {
	case "postgres":
		texts = append(texts, "DROP TRIGGER events_are_immutable ON Messages", "DROP TRIGGER events_are_not_deleted ON Messages", "DROP TRIGGER events_are_erased ON Messages")
	case "mysql":
		texts = append(texts, "DROP TRIGGER events_are_immutable_update", "DROP TRIGGER tags_are_immutable_delete", "ALTER TABLE Messages DROP INDEX Idx_MsgsPosition, DROP INDEX Idx_MsgsTypePosition")
	case "sqlite":
		texts = append(texts, "DROP TRIGGER events_are_immutable_update", "DROP TRIGGER tags_are_immutable_delete", "DROP INDEX Idx_MsgsPosition", "DROP INDEX Idx_MsgsTypePosition")
	}
	for _, text := range append(texts,
		"ALTER TABLE Messages DROP COLUMN position", "ALTER TABLE Messages DROP COLUMN tags", "ALTER TABLE StoreLock DROP COLUMN position",
		"ALTER TABLE Messages DROP COLUMN erased", "ALTER TABLE Messages DROP COLUMN appender", "DROP TABLE Appenders", "DROP TABLE EventTags", "DROP TABLE TimeSteps", "DROP TABLE Erasures", "DROP TABLE ErasedMessages",
		"ALTER TABLE Subscriptions DROP COLUMN client", "ALTER TABLE Subscriptions DROP COLUMN name", "ALTER TABLE Subscriptions DROP COLUMN kind",
		"ALTER TABLE Messages DROP COLUMN chain", "DROP TABLE ChainHeads") {
		exec(t, db, text)
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
	if o.Driver == "sqlite" {
		takePositions(t, o)
	} else {
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
