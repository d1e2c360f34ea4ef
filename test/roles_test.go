package test

import (
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestRoles runs the statements of sql/roles, which docs/operate/security.md names. The owner migrates, the server serves with
// the least rights, and the analyst reads; each is refused what belongs to another.
func TestRoles(t *testing.T) {
	t.Parallel()
	for _, kind := range []databases.Kind{databases.KindPostgres, databases.KindMySQL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			testRoles(t, kind)
		})
	}
}

func testRoles(t *testing.T, kind databases.Kind) {
	driver := string(kind)
	database := databases.Own(t, kind)
	if err := database.CreateDatabase("eventstore"); err != nil {
		t.Fatal(err)
	}
	admin := database.DSN("eventstore")
	as := func(role string) string {
		return strings.Replace(admin, "eventstore:secret@", "eventstore_"+role+":its-password@", 1)
	}
	script(t, driver, admin, "roles")
	for _, role := range []string{"owner", "server", "analyst"} {
		password := "ALTER ROLE eventstore_" + role + " PASSWORD 'its-password'"
		if driver == "mysql" {
			password = "ALTER USER 'eventstore_" + role + "'@'%' IDENTIFIED BY 'its-password' ACCOUNT UNLOCK"
		}
		query(t, driver, admin, password)
	}
	out, status := runBinary(t, "migrate", "-store", "SQL", "-sql_driver", driver, "-sql_source", as("owner"))
	if status != 0 {
		t.Fatalf("migrate: status %d\n%s", status, out)
	}

	// Before the grants, a start fails with the reason.
	serve := []string{"-p", "-1", "-store", "SQL", "-sql_driver", driver, "-sql_source", as("server"), "-sql_no_migrate"}
	if out, status := runBinary(t, serve...); status != 1 || strings.Contains(out, "unavailable") || !strings.Contains(out, map[string]string{"postgres": "permission denied for table goose_db_version", "mysql": "Access denied for user"}[driver]) {
		t.Errorf("without grants: status %d\n%s", status, out)
	}
	granter := as("owner")
	if driver == "mysql" { // where owning a table gives no right to grant
		granter = admin
		query(t, driver, admin, "ALTER USER 'eventstore_owner'@'%' ACCOUNT LOCK")
	}
	script(t, driver, granter, "grants")

	s := start(t, driver, as("server"), "-sql_no_migrate", "-c", config(t, `limits { channels { "idle": { max_inactivity: "1s" }, "short": { max_msgs: 2 } } }`))
	sc := s.connect("client")
	publish(t, sc, orders, event(t, "A", "T", withID("1")), event(t, "A", "T", withID("2")))
	publish(t, sc, orders, event(t, "A", "T", withID("1")))
	fill(t, sc, "short", 9)
	fill(t, sc, "plain", 600) // batches of several sizes
	durable, in := subscribe(t, sc, orders, stan.DurableName("d"), stan.DeliverAllAvailable())
	in.sequences(t, 2)
	fill(t, sc, "idle", 3)
	s.WaitLog(t, `Channel "idle" has been deleted`)
	eventually(t, func() bool {
		return query(t, driver, admin, "SELECT (SELECT COUNT(*) FROM Channels WHERE name = 'idle'), (SELECT COUNT(*) FROM Messages), (SELECT msgs FROM Channels WHERE name = 'short')")[0] == "0|604|2"
	})
	if err := durable.Close(); err != nil {
		t.Fatal(err)
	}
	durable, in = subscribe(t, sc, orders, stan.DurableName("d"), stan.DeliverAllAvailable())
	publish(t, sc, orders, event(t, "A", "T"))
	in.sequences(t, 1)
	s.Stop()
	takeNumbers(t, driver, admin) // as a server that does not know positions
	s.Restart()
	s.WaitLog(t, "numbered events: each has a position")
	sc = s.connect("another")
	publish(t, sc, orders, event(t, "A", "T", withVersion(4)))
	in.sequences(t, 1)
	if err := durable.Unsubscribe(); err != nil {
		t.Fatal(err)
	}

	for role, texts := range map[string][]string{
		"server": {
			"UPDATE Messages SET event_data = NULL", "UPDATE Messages SET position = 99", "UPDATE Messages SET position = NULL", "DELETE FROM Erasures", "UPDATE ErasedMessages SET seq = 1", "UPDATE EventTags SET tag = 'z'",
			"DELETE FROM TimeSteps", "DELETE FROM Messages", "DELETE FROM Channels", "UPDATE Channels SET deleted = TRUE",
			"UPDATE Channels SET name = 'other'", "UPDATE Channels SET id = id + 100", "UPDATE Channels SET maxseq = 0", "UPDATE goose_db_version SET version_id = 0",
			"DELETE FROM StoreLock", "DELETE FROM ServerInfo", "DELETE FROM AuditEntries", "UPDATE AuditEntries SET detail = ''", "CREATE TABLE mine (id INTEGER)", "DROP TABLE Relays", "ALTER TABLE Messages ADD COLUMN mine INTEGER",
			"CREATE INDEX mine ON Messages (size)", "CREATE OR REPLACE VIEW events AS SELECT 1 AS one",
		},
		"analyst": {
			"INSERT INTO Messages (id, seq) VALUES (1, 100)", "UPDATE Messages SET size = 1", "DELETE FROM Messages", "UPDATE Channels SET maxseq = 1",
			"DELETE FROM Channels", "SELECT * FROM Clients", "SELECT * FROM StoreLock", "SELECT * FROM AuditEntries", "SELECT * FROM audit_log", "SELECT proto FROM Subscriptions", "DELETE FROM Parked", "INSERT INTO EventTags (tag, position) VALUES ('z', 1)", "CREATE TABLE mine (id INTEGER)",
		},
	} {
		texts = append(texts, map[string][]string{
			"postgres": {"TRUNCATE Messages", "TRUNCATE Channels CASCADE", "ALTER TABLE Messages DISABLE TRIGGER events_are_immutable", "DROP TRIGGER events_are_immutable ON Messages",
				"ALTER TABLE Channels DISABLE TRIGGER ALL", "SET session_replication_role = replica", "CREATE TABLE mine (id INTEGER REFERENCES Channels (id) ON DELETE CASCADE)",
				"CREATE OR REPLACE FUNCTION eventstore_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'", "CREATE RULE mine AS ON DELETE TO Messages DO INSTEAD NOTHING"},
			"mysql": {"TRUNCATE Messages", "TRUNCATE Channels", "DROP TRIGGER events_are_immutable_delete", "RENAME TABLE Messages TO mine", "REPLACE INTO Channels (id, name) VALUES (1, 'other')",
				"ALTER TABLE Messages ADD FOREIGN KEY (id) REFERENCES Channels (id) ON DELETE CASCADE", "CREATE TRIGGER mine BEFORE INSERT ON Messages FOR EACH ROW DO 0"},
		}[driver]...)
		for _, text := range texts {
			if _, err := tryQuery(driver, as(role), text); err == nil {
				t.Errorf("%s may %s", role, text)
			}
		}
		for text, want := range map[string]string{"SELECT COUNT(*) FROM events": "4", "SELECT COUNT(*) FROM Messages": "606", "SELECT COUNT(*) FROM Channels": "3",
			"SELECT COUNT(*) FROM consumer_status": "0", "SELECT COUNT(*) FROM parked_messages": "0"} {
			if role == "server" && !strings.Contains(text, "Messages") && !strings.Contains(text, "Channels") {
				continue
			}
			if got := query(t, driver, as(role), text)[0]; got != want {
				t.Errorf("%s: %s is %s, want %s", role, text, got, want)
			}
		}
	}
	s.Stop()
	if driver == "mysql" {
		query(t, driver, admin, "ALTER USER 'eventstore_owner'@'%' ACCOUNT UNLOCK")
	}
	harness.Verify(t, driver, as("owner"))

	for _, table := range []string{"Clients", "ConsumersPending"} {
		revoke, missing := "REVOKE DELETE ON "+table+" FROM eventstore_server", `missing rights: role "eventstore_server" needs DELETE on `+table+"; see sql/roles/postgres_grants.sql"
		if driver == "mysql" {
			revoke, missing = "REVOKE DELETE ON eventstore."+table+" FROM 'eventstore_server'@'%'", "DELETE command denied to user 'eventstore_server'@"
		}
		query(t, driver, admin, revoke)
		if out, status := runBinary(t, serve...); status != 1 || !strings.Contains(out, missing) {
			t.Errorf("without a right on %s: status %d\n%s", table, status, out)
		}
		query(t, driver, admin, strings.NewReplacer("REVOKE", "GRANT", " FROM ", " TO ").Replace(revoke))
	}
}

// script runs a file of sql/roles.
func script(t *testing.T, driver, source, name string) {
	t.Helper()
	text, err := os.ReadFile("../sql/roles/" + driver + "_" + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	if driver == "mysql" {
		source += "?multiStatements=true"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), string(text)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
