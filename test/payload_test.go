package test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// The server compares max_payload with max_allowed_packet at the start. Whatever it then accepts can be stored, whatever
// its bytes.
func TestPayloadAndPacket(t *testing.T) {
	t.Parallel()
	db := databases.Own(t, databases.KindMySQL)
	if err := db.CreateDatabase("events"); err != nil {
		t.Fatal(err)
	}
	source := db.DSN("events")
	admin, err := sql.Open("mysql", source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close() })
	limit := func(bytes int) {
		t.Helper()
		if _, err := admin.Exec("SET GLOBAL max_allowed_packet = ?", bytes); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(conf, []byte("max_payload: 65536\nstreaming {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	limit(64 << 10)
	out, status := runBinary(t, "-p", "-1", "-store", "SQL", "-sql_driver", "mysql", "-sql_source", source)
	if status != 1 || !strings.Contains(out, "Failed to start: max_payload of NATS is 1048576 bytes, the database takes 65536 (max_allowed_packet)") {
		t.Errorf("exit status %d:\n%s", status, out)
	}

	s := start(t, "mysql", source, "-c", conf)
	s.WaitLog(t, "will be refused: lower max_payload or raise the database's limit")
	sc := s.connect("client")
	_, in := subscribe(t, sc, "plain")
	// Each byte needs an escape in the statement, which makes it longer than the packet.
	large := bytes.Repeat([]byte{0}, 65000)
	publish(t, sc, "plain", large, large)
	for range 2 {
		if m := in.next(t); !bytes.Equal(m.Data, large) {
			t.Errorf("got %d bytes", len(m.Data))
		}
	}
	// Data that is not JSON is stored in base64, which is a third longer.
	err = sc.Publish(orders, event(t, "A", "T", withData(string(bytes.Repeat([]byte{255}, 60000)))))
	if err == nil || !strings.Contains(err.Error(), "max_allowed_packet of the database is 65536") {
		t.Errorf("an event with too long JSON: error %v", err)
	}
	publish(t, sc, orders, event(t, "A", "T"))
	contiguous(t, "mysql", source, "plain", 2)
	contiguous(t, "mysql", source, orders, 1)
	s.Stop()

	limit(256 << 10)
	s = start(t, "mysql", source, "-c", conf)
	if s.Log.Contains("will be refused") {
		t.Error("a warning although max_allowed_packet suffices")
	}
	// The limit is lowered while the server runs. A batch that is too long for new connections is stored nevertheless.
	limit(96 << 10)
	for _, id := range query(t, "mysql", source, "SELECT id FROM information_schema.processlist WHERE db = 'events' AND id <> CONNECTION_ID()") {
		_, _ = admin.Exec("KILL " + id) // some are ours or have ended
	}
	sc = s.connect("another")
	publish(t, sc, "plain", large)
	contiguous(t, "mysql", source, "plain", 3)
	harness.Verify(t, "mysql", source)
}

// A schema that newer servers took something from stops the start with a one-line error.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		start(t, driver, source).Stop()
		applied := map[bool]string{true: "1", false: "TRUE"}[driver == "sqlite"]
		execute(t, driver, source, "ALTER TABLE goose_db_version ADD COLUMN min_version BIGINT")
		execute(t, driver, source, "INSERT INTO goose_db_version (version_id, is_applied, min_version) VALUES (99, "+applied+", 98)")
		out, status := runBinary(t, "-p", "-1", "-store", "SQL", "-sql_driver", driver, "-sql_source", source)
		if status != 1 || strings.Count(out, "the schema of the database is newer than this server: it is at version 99 and needs a server that knows version 98 or later, this one knows ") != 1 {
			t.Errorf("exit status %d:\n%s", status, out)
		}
	})
}

// execute runs a statement on a database.
func execute(t *testing.T, driver, source, statement string) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
