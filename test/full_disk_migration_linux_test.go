package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

const room = "make room there"

// A migration of SQLite meets a full disk. Once there is room, the next start finishes it.
func TestFullDiskOfMigration(t *testing.T) {
	t.Parallel()
	dir, err := volume(t, "64m", 0)
	if err != nil {
		t.Skipf("mount a file system: %v", err)
	}
	source := filepath.Join(dir, "eventstore.db")
	s := start(t, "sqlite", source)
	const events = 600
	sc := s.connect("client")
	for range events {
		publish(t, sc, orders, event(t, "A", strings.Repeat("T", 250)))
	}
	s.Stop()
	// As an earlier release left it. The migrations before that of positions can run more than once.
	for _, text := range []string{"DROP INDEX Idx_MsgsTime", "DROP INDEX Idx_MsgsTypeTime", "DROP INDEX Idx_MsgsPosition", "DROP INDEX Idx_MsgsTypePosition",
		"DROP VIEW events", "DROP VIEW consumer_status", "DROP VIEW parked_messages", "DROP VIEW erasure_log", "DROP TRIGGER events_are_immutable_update", "DROP TRIGGER tags_are_immutable_delete",
		"DROP TABLE EventTags", "DROP TABLE TimeSteps", "DROP TABLE Erasures", "DROP TABLE ErasedMessages", "ALTER TABLE Messages DROP COLUMN erased",
		"ALTER TABLE Messages DROP COLUMN position", "ALTER TABLE Messages DROP COLUMN tags", "ALTER TABLE StoreLock DROP COLUMN position",
		"ALTER TABLE Subscriptions DROP COLUMN client", "ALTER TABLE Subscriptions DROP COLUMN name", "ALTER TABLE Subscriptions DROP COLUMN kind",
		"ALTER TABLE Messages DROP COLUMN appender", "DROP TABLE Appenders",
		"ALTER TABLE Messages DROP COLUMN chain", "DROP TABLE ChainHeads",
		"DELETE FROM goose_db_version WHERE version_id > 3"} {
		query(t, "sqlite", source, text)
	}
	filler := filepath.Join(dir, "filler")
	args := []string{"-p", "-1", "-store", "SQL", "-sql_driver", "sqlite", "-sql_source", source}
	for _, left := range []uint64{0, 100_000} { // before the migration, and in the middle of it
		if err := fillDiskBut(filler, left); err != nil {
			t.Fatal(err)
		}
		out, status := runOnce(t, args...) // -t cannot foresee the middle of a migration
		if status != 1 || !strings.Contains(out, room) || strings.Contains(out, "migrating the database") != (left > 0) {
			t.Errorf("%d bytes left: status %d\n%s", left, status, out)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}
	s = start(t, "sqlite", source)
	publish(t, s.connect("client"), orders, event(t, "A", "T", withVersion(events+1)))
	s.Stop()
	harness.Verify(t, "sqlite", source)
}

// MySQL rebuilds the messages of NATS Streaming, which needs as much room again. Without it NATS Streaming still starts on its
// database, and with it the next migration finishes.
func TestFullDiskOfUpgrade(t *testing.T) {
	t.Parallel()
	dir, err := volume(t, "400m", 0)
	if err != nil {
		t.Skipf("mount a file system: %v", err)
	}
	db := databases.OwnIn(t, databases.KindMySQL, dir)
	if err := db.CreateDatabase("events"); err != nil {
		t.Fatal(err)
	}
	source := db.DSN("events")
	createFormerTables(t, "mysql", source)
	former := startUpstream(t, "-store", "SQL", "-sql_driver", "mysql", "-sql_source", source)
	sc := former.connect("client")
	const messages = 600
	large := make([]byte, 60_000)
	for range messages {
		if err := sc.Publish("plain", large); err != nil {
			t.Fatal(err)
		}
	}
	former.Stop()

	filler := filepath.Join(dir, "filler")
	if err := fillDiskBut(filler, 20<<20); err != nil {
		t.Fatal(err)
	}
	migrate := []string{"migrate", "-store", "SQL", "-sql_driver", "mysql", "-sql_source", source}
	if out, status := runBinary(t, migrate...); status != 1 || !strings.Contains(out, room) {
		t.Errorf("full disk: status %d\n%s", status, out)
	}
	former.Restart()
	sc = former.connect("another") // the first one may still hold its ID
	if err := sc.Publish("plain", []byte("still there")); err != nil {
		t.Error(err)
	}
	former.Stop()

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if out, status := runBinary(t, migrate...); status != 0 {
		t.Fatalf("with room: status %d\n%s", status, out)
	}
	contiguous(t, "mysql", source, "plain", messages+1)
	s := start(t, "mysql", source)
	publish(t, s.connect("client"), orders, event(t, "A", "T"))
	s.Stop()
	harness.Verify(t, "mysql", source)
}
