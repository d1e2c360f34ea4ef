package storetest

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// testChannelsKeepEvents: nobody makes events vanish, or begin again at 1, by way of their channel.
func testChannelsKeepEvents(t *testing.T, o stores.Options) {
	s, _ := lead(t, o)
	events, plain := channel(t, s, "eventstore.c"), channel(t, s, "plain")
	appendAll(t, s, event{aggregate: "a"}.on(t, events), stores.Append{Channel: plain, Payload: []byte("x")})
	db := raw(t, o)
	db.SetMaxOpenConns(1) // settings of a session last
	refused := []string{
		"UPDATE Channels SET deleted = TRUE",
		"UPDATE Channels SET deleted = NULL",
		"UPDATE Channels SET name = 'hidden' WHERE id = 1",
		"UPDATE Channels SET name = 'eventstore.c ' WHERE id = 1",
		"UPDATE Channels SET name = 'EventStore.C' WHERE id = 1",
		"UPDATE Channels SET id = 7 WHERE id = 1",
		"UPDATE Channels SET maxseq = 0",
		"DELETE FROM Channels",
		"DELETE FROM Channels WHERE id = 1",
	}
	if o.Driver != "sqlite" { // where the column is NOT NULL
		refused = append(refused, "UPDATE Channels SET maxseq = NULL")
	}
	switch o.Driver {
	case "postgres":
		refused = append(refused, "TRUNCATE Channels", "TRUNCATE Channels CASCADE",
			"INSERT INTO Channels (id, name) VALUES (1, 'other') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
			"ALTER TABLE Messages ADD CONSTRAINT cascading FOREIGN KEY (id) REFERENCES Channels (id) ON DELETE CASCADE ON UPDATE CASCADE; DELETE FROM Channels",
			"ALTER TABLE Messages ADD CONSTRAINT cascading FOREIGN KEY (id) REFERENCES Channels (id) ON DELETE CASCADE ON UPDATE CASCADE; UPDATE Channels SET id = id + 10",
			"ALTER TABLE Messages ADD CONSTRAINT cascading FOREIGN KEY (id) REFERENCES Channels (id) ON DELETE CASCADE ON UPDATE CASCADE; TRUNCATE Channels CASCADE",
			// Tables and operators of the caller do not deceive the guard.
			"CREATE TEMP TABLE Messages (id INTEGER, event_type TEXT); DELETE FROM public.Channels",
			`CREATE FUNCTION never(INTEGER, INTEGER) RETURNS BOOLEAN LANGUAGE sql AS 'SELECT FALSE';
			CREATE OPERATOR public.= (LEFTARG = INTEGER, RIGHTARG = INTEGER, FUNCTION = never);
			SET LOCAL search_path = public, pg_catalog; DELETE FROM Channels`)
	case "mysql":
		exec(t, db, "SET SESSION sql_mode = ''") // a session that cuts values off
		exec(t, db, "SET SESSION foreign_key_checks = 0")
		refused = append(refused, "REPLACE INTO Channels (id, name) VALUES (1, 'other')",
			"INSERT INTO Channels (id, name) VALUES (1, 'other') ON DUPLICATE KEY UPDATE name = VALUES(name)",
			"UPDATE IGNORE Channels SET deleted = TRUE", "DELETE IGNORE FROM Channels",
			"DELETE c FROM Channels AS c JOIN Messages AS m ON m.id = c.id")
	case "sqlite":
		refused = append(refused, "INSERT OR REPLACE INTO Channels (id, name) VALUES (1, 'other')",
			"INSERT OR REPLACE INTO Channels (name) VALUES ('eventstore.c')",
			"INSERT INTO Channels (id, name) VALUES (1, 'other') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
			"UPDATE Channels SET rowid = 7 WHERE id = 1",
			"UPDATE OR REPLACE Channels SET id = 1 WHERE id = 2",
			"UPDATE OR REPLACE Channels SET name = 'eventstore.c' WHERE id = 2",
			"UPDATE OR IGNORE Channels SET deleted = TRUE")
	}
	for _, text := range refused {
		if _, err := db.ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if o.Driver == "mysql" {
		exec(t, db, "ALTER TABLE Messages ADD CONSTRAINT cascading FOREIGN KEY (id) REFERENCES Channels (id) ON DELETE CASCADE ON UPDATE CASCADE")
		exec(t, db, "SET SESSION foreign_key_checks = 1")
		for _, text := range []string{"DELETE FROM Channels", "UPDATE Channels SET id = 7 WHERE id = 1"} {
			if _, err := db.ExecContext(testContext(t), text); err == nil || !strings.Contains(err.Error(), "events are immutable") {
				t.Errorf("%s: %v", text, err)
			}
		}
		exec(t, db, "ALTER TABLE Messages DROP FOREIGN KEY cascading")
	}
	testGuardOfFirstEvent(t, o, s)

	s, _ = restart(t, s, o)
	expect(t, appendAll(t, s, event{aggregate: "a"}.on(t, s.Channel("eventstore.c"))), "2")
	// Channels without events remain what they were.
	exec(t, db, "UPDATE Channels SET name = 'renamed', maxseq = 0, deleted = TRUE WHERE name = 'plain'")
	exec(t, db, "DELETE FROM Channels WHERE name = 'renamed'")
}

// testGuardOfFirstEvent: a transaction that began before the channel had its first event sees it, or fails.
func testGuardOfFirstEvent(t *testing.T, o stores.Options, s *stores.Store) {
	t.Helper()
	if o.Driver == "sqlite" {
		return // a transaction that reads an older state cannot write
	}
	late := channel(t, s, "eventstore.late")
	tx, err := raw(t, o).BeginTx(testContext(t), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	var n int
	if err := tx.QueryRowContext(testContext(t), "SELECT COUNT(*) FROM Messages").Scan(&n); err != nil {
		t.Fatal(err)
	}
	expect(t, appendAll(t, s, event{aggregate: "late"}.on(t, late)), "1")
	if _, err := tx.ExecContext(testContext(t), "UPDATE Channels SET deleted = TRUE WHERE name = 'eventstore.late'"); err == nil {
		t.Error("a transaction marked the channel as deleted, because it did not see the event")
	}
}
