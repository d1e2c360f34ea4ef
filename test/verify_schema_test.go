package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// plants are changes of the schema, what verify reports, and how to undo them.
var plants = map[string][]struct {
	sql     []string
	finding string // table, key, and part of the text
	undo    []string
}{
	"sqlite": {
		{[]string{"CREATE TRIGGER audit AFTER INSERT ON Messages BEGIN DELETE FROM Relays; END"},
			"messages|trigger audit|it is not part of the schema: AFTER INSERT ON Messages BEGIN DELETE FROM Relays; END", []string{"DROP TRIGGER audit"}},
		{[]string{"DROP TRIGGER channels_keep_events_delete", "CREATE TRIGGER channels_keep_events_delete BEFORE DELETE ON Channels WHEN FALSE BEGIN SELECT RAISE(ABORT, 'no'); END"},
			"channels|trigger channels_keep_events_delete|its definition is not that of this server: BEFORE DELETE ON Channels WHEN FALSE", []string{"DROP TRIGGER channels_keep_events_delete", guardOf("sqlite", "channels_keep_events_delete")}},
		{[]string{"DROP TRIGGER tags_are_immutable_delete"},
			"catalog|trigger tags_are_immutable_delete|missing", []string{guardOf("sqlite", "tags_are_immutable_delete")}},
		{[]string{"CREATE TRIGGER audit AFTER INSERT ON EventTags BEGIN DELETE FROM Relays; END"},
			"eventtags|trigger audit|it is not part of the schema", []string{"DROP TRIGGER audit"}},
		{[]string{"DROP TRIGGER channels_keep_events_insert"},
			"catalog|trigger channels_keep_events_insert|missing", []string{guardOf("sqlite", "channels_keep_events_insert")}},
		{[]string{"CREATE TABLE notes (id INTEGER REFERENCES Channels (id) ON DELETE SET NULL)"},
			"notes|foreign key notes 0|on notes REFERENCES Channels ON UPDATE NO ACTION ON DELETE SET NULL", []string{"DROP TABLE notes"}},
	},
	"postgres": {
		{[]string{"CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "CREATE TRIGGER audit BEFORE INSERT ON Messages FOR EACH ROW EXECUTE FUNCTION audit()"},
			"messages|trigger audit|it is not part of the schema: CREATE TRIGGER audit BEFORE INSERT ON messages", []string{"DROP FUNCTION audit() CASCADE"}},
		{[]string{"ALTER TABLE Channels DISABLE TRIGGER channels_keep_events_delete"},
			"catalog|trigger channels_keep_events_delete|disabled", []string{"ALTER TABLE Channels ENABLE TRIGGER channels_keep_events_delete"}},
		{[]string{"ALTER TABLE Channels ENABLE REPLICA TRIGGER channels_keep_events_truncate"},
			"catalog|trigger channels_keep_events_truncate|disabled", []string{"ALTER TABLE Channels ENABLE TRIGGER channels_keep_events_truncate"}},
		{[]string{"DROP TRIGGER events_are_not_truncated ON Messages"},
			"catalog|trigger events_are_not_truncated|missing", []string{"CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON Messages EXECUTE FUNCTION eventstore_refuse_truncate()"}},
		{[]string{"DROP TRIGGER events_are_immutable ON Messages", "CREATE TRIGGER events_are_immutable BEFORE UPDATE ON Messages FOR EACH ROW WHEN (OLD.event_type IS NOT NULL) EXECUTE FUNCTION eventstore_refuse_change()"},
			"messages|trigger events_are_immutable|its definition is not that of this server", []string{"DROP TRIGGER events_are_immutable ON Messages", guardOf("postgres", "events_are_immutable")}},
		{[]string{"ALTER TABLE EventTags DISABLE TRIGGER tags_are_immutable"},
			"catalog|trigger tags_are_immutable|disabled", []string{"ALTER TABLE EventTags ENABLE TRIGGER tags_are_immutable"}},
		{[]string{"DROP INDEX Idx_MsgsPosition"},
			"catalog|unique index idx_msgsposition|missing", []string{"CREATE UNIQUE INDEX Idx_MsgsPosition ON Messages (position) WHERE position IS NOT NULL"}},
		{[]string{"CREATE OR REPLACE FUNCTION eventstore_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'"},
			"messages|function eventstore_refuse_change|its definition is not that of this server: plpgsql BEGIN RETURN OLD; END", []string{guardOf("postgres", "eventstore_refuse_change")}},
		{[]string{"ALTER FUNCTION eventstore_keep_channel() RESET search_path"},
			"channels|function eventstore_keep_channel|its definition is not that of this server", []string{"ALTER FUNCTION eventstore_keep_channel() SET search_path = pg_catalog, pg_temp"}},
		{[]string{"CREATE RULE quiet AS ON DELETE TO Messages DO INSTEAD NOTHING"},
			"messages|rule quiet|may replace statements: CREATE RULE quiet", []string{"DROP RULE quiet ON Messages"}},
		{[]string{"CREATE POLICY hidden ON Messages USING (id > 1)"},
			"messages|row policy hidden|may hide rows: (id > 1)", []string{"DROP POLICY hidden ON Messages"}},
		{[]string{"ALTER TABLE Messages ADD CONSTRAINT cascading FOREIGN KEY (id) REFERENCES Channels (id) ON DELETE CASCADE"},
			"messages|foreign key cascading|ON DELETE CASCADE", []string{"ALTER TABLE Messages DROP CONSTRAINT cascading"}},
		{[]string{"CREATE TABLE notes (id INTEGER, seq BIGINT, FOREIGN KEY (id, seq) REFERENCES Messages (id, seq))"},
			"notes|foreign key notes_id_seq_fkey|on notes FOREIGN KEY (id, seq) REFERENCES messages(id, seq)", []string{"DROP TABLE notes"}},
		{[]string{"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET session_replication_role = replica', current_database()); END $$"},
			"catalog|setting session_replication_role|", []string{"SET session_replication_role = origin; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET session_replication_role', current_database()); END $$"}},
	},
	"mysql": {
		{[]string{"CREATE TRIGGER audit AFTER INSERT ON Messages FOR EACH ROW DELETE FROM Relays"},
			"messages|trigger audit|it is not part of the schema: AFTER INSERT ON Messages FOR EACH ROW DELETE FROM Relays", []string{"DROP TRIGGER audit"}},
		{[]string{"DROP TRIGGER channels_keep_events_delete", "CREATE TRIGGER channels_keep_events_delete BEFORE DELETE ON Channels FOR EACH ROW DO 0"},
			"channels|trigger channels_keep_events_delete|its definition is not that of this server: BEFORE DELETE ON Channels FOR EACH ROW DO 0", []string{"DROP TRIGGER channels_keep_events_delete", guardOf("mysql", "channels_keep_events_delete")}},
		{[]string{"DROP TRIGGER tags_are_immutable_update", "DROP TRIGGER tags_are_immutable_delete", "CREATE TRIGGER tags_are_immutable_delete BEFORE DELETE ON EventTags FOR EACH ROW DO 0"},
			"catalog|trigger tags_are_immutable_update|missing", []string{guardOf("mysql", "tags_are_immutable_update"), "DROP TRIGGER tags_are_immutable_delete", guardOf("mysql", "tags_are_immutable_delete")}},
		{[]string{"DROP INDEX Idx_MsgsPosition ON Messages", "CREATE INDEX Idx_MsgsPosition ON Messages (position)"},
			"catalog|unique index idx_msgsposition|missing", []string{"DROP INDEX Idx_MsgsPosition ON Messages", "CREATE UNIQUE INDEX Idx_MsgsPosition ON Messages (position)"}},
		{[]string{"DROP TRIGGER channels_keep_events_update"},
			"catalog|trigger channels_keep_events_update|missing", []string{guardOf("mysql", "channels_keep_events_update")}},
		{[]string{"ALTER TABLE Messages ADD CONSTRAINT cascading FOREIGN KEY (id) REFERENCES Channels (id) ON DELETE CASCADE"},
			"messages|foreign key cascading|ON DELETE CASCADE", []string{"ALTER TABLE Messages DROP FOREIGN KEY cascading"}},
		{[]string{"CREATE TABLE notes (id INTEGER, seq BIGINT UNSIGNED, CONSTRAINT noted FOREIGN KEY (id, seq) REFERENCES Messages (id, seq))"},
			"notes|foreign key noted|REFERENCES Messages", []string{"DROP TABLE notes"}},
	},
}

// Verify reports what others have added to the tables, and guards that are missing, disabled or changed.
func TestVerifySchema(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		publish(t, s.connect("client"), orders, event(t, "A", "T"))
		s.Stop()
		for _, plant := range plants[driver] {
			for _, text := range plant.sql {
				query(t, driver, source, text)
			}
			r, status := verify(t, driver, source)
			parts := strings.Split(plant.finding, "|")
			found := 0
			for _, f := range r.Findings {
				if f.Kind == "schema" && f.Table == parts[0] && f.Key == parts[1] && strings.Contains(f.Text, parts[2]) {
					found++
				}
			}
			if status != 1 || found == 0 {
				t.Errorf("after %q: status %d, no %q in %+v", plant.sql, status, plant.finding, r.Findings)
			}
			for _, text := range plant.undo {
				query(t, driver, source, text)
			}
			harness.Verify(t, driver, source)
		}
	})
}

// A database that was restored from a dump has the same guards.
func TestVerifyRestored(t *testing.T) {
	t.Parallel()
	for driver, fresh := range map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			from, to := fresh(t), fresh(t)
			s := start(t, driver, from)
			publish(t, s.connect("client"), orders, event(t, "A", "T"))
			s.Stop()
			dump, restore := exec.Command("pg_dump", from), exec.Command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", to)
			if driver == "mysql" {
				dump, restore = exec.Command("mysqldump", append([]string{"--single-transaction"}, mysqlArgs(t, from)...)...), exec.Command("mysql", mysqlArgs(t, to)...)
			}
			text, err := dump.Output()
			if err != nil {
				t.Fatal(err)
			}
			restore.Stdin = bytes.NewReader(text)
			if out, err := restore.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			harness.Verify(t, driver, to)
			s = start(t, driver, to)
			publish(t, s.connect("client"), orders, event(t, "A", "T", withVersion(2)))
			if _, err := tryQuery(driver, to, "DELETE FROM Channels"); err == nil {
				t.Error("the guard is not restored")
			}
		})
	}
}

// mysqlArgs returns the arguments by which MySQL's programs reach a database.
func mysqlArgs(t *testing.T, source string) []string {
	t.Helper()
	cfg, err := mysqldriver.ParseDSN(source)
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(cfg.Addr, ":")
	return []string{"-h", host, "-P", port, "-u", cfg.User, "-p" + cfg.Passwd, cfg.DBName}
}

// guardOf returns the statement of the last migration that creates a trigger or function.
func guardOf(driver, name string) string {
	files, err := filepath.Glob("../sql/" + driver + "/*.sql")
	if err != nil {
		panic(err)
	}
	for _, file := range slices.Backward(files) {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		for _, create := range []string{"CREATE TRIGGER IF NOT EXISTS ", "CREATE TRIGGER ", "CREATE OR REPLACE FUNCTION "} {
			if _, rest, found := strings.Cut(string(text), create+name); found {
				end := ";\n"
				switch {
				case driver == "sqlite":
					end = "END;\n"
				case strings.HasSuffix(create, "FUNCTION "):
					end = "$$;\n"
				}
				body, _, _ := strings.Cut(rest, end)
				return create + name + body + end
			}
		}
	}
	panic(fmt.Sprintf("no migration creates %s", name))
}
