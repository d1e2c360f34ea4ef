package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// setup is a wrong set-up of a database, and what the server says about it.
type setup struct {
	name, driver string
	before       []string                   // statements of an administrator
	former       bool                       // the tables of NATS Streaming are there
	source       func(source string) string // as the server is given it; nil: unchanged
	want         string
	start        bool // only a start tells, not a dry run
}

var wrongSetups = []setup{
	{name: "no TLS", driver: "postgres", source: replace("?sslmode=disable", ""), want: "add ?sslmode=disable to -sql_source"},
	{name: "slash in password", driver: "postgres", source: replace(":secret@", ":sec/ret@"), want: "@ is %40, / is %2F"},
	{name: "no database", driver: "postgres", source: replace("/test_", "/absent_"), want: "CREATE DATABASE with ENCODING 'UTF8'"},
	{name: "no database", driver: "mysql", source: replace("/test_", "/absent_"), want: "CREATE DATABASE, or name another"},
	{name: "no name of a database", driver: "mysql", source: func(s string) string { return s[:strings.LastIndex(s, "/")+1] }, want: "does not name a database"},
	{name: "wrong password", driver: "mysql", source: replace(":secret@", ":wrong@"), want: "check user and password"},
	{name: "no schema", driver: "postgres", source: func(s string) string { return s + "&search_path=absent" }, want: "no schema in the search_path of this user exists"},
	{
		name: "no right to create", driver: "postgres", before: []string{"CREATE ROLE visitor_DB LOGIN"}, source: replace("eventstore:secret@", "visitor_DB@"),
		want: "migrating needs CREATE TABLE: pq: permission denied for schema public",
	},
	{
		name: "tables of another role", driver: "postgres", former: true,
		before: []string{"CREATE ROLE heir_DB LOGIN", "GRANT ALL ON SCHEMA public TO heir_DB", "GRANT ALL ON ALL TABLES IN SCHEMA public TO heir_DB"},
		source: replace("eventstore:secret@", "heir_DB@"), want: `needs the owner of the tables, and "heir_DB" is not that of channels (eventstore)`,
	},
	{
		name: "no right to create", driver: "mysql", before: []string{"CREATE USER visitor_DB IDENTIFIED BY 'secret'", "GRANT SELECT, INSERT, UPDATE, DELETE ON DB.* TO visitor_DB"},
		source: replace("eventstore:secret@", "visitor_DB:secret@"), want: "migrating needs DROP TABLE: Error 1142",
	},
	{
		name: "no right to triggers", driver: "mysql", former: true,
		before: []string{"CREATE USER heir_DB IDENTIFIED BY 'secret'", "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, CREATE VIEW ON DB.* TO heir_DB"},
		source: replace("eventstore:secret@", "heir_DB:secret@"), want: "migrating needs CREATE TRIGGER: Error 1142",
	},
	{
		name: "read-only", driver: "postgres", before: []string{"ALTER DATABASE DB SET default_transaction_read_only = on"},
		want: "default_transaction_read_only is on, for instance since its disk was full: turn it off",
	},
	{name: "a table events", driver: "postgres", before: []string{"CREATE TABLE events (id INTEGER)"}, want: `table "events" is not that of this server`},
	{name: "a table events", driver: "mysql", before: []string{"CREATE TABLE events (id INTEGER)"}, want: `table "events" is not that of this server`},
	{name: "a table events", driver: "sqlite", before: []string{"CREATE TABLE events (id INTEGER)"}, want: `table "events" is not that of this server`},
	{name: "a view events", driver: "postgres", before: []string{"CREATE VIEW events AS SELECT 1 AS id"}, want: `view "events" is not that of this server`},
	{name: "a table consumers", driver: "mysql", former: true, before: []string{"CREATE TABLE Consumers (name VARCHAR(10))"}, want: "table consumers has no column consumer: another program's"},
	{
		name: "columns of a fork", driver: "postgres", former: true, before: []string{"ALTER TABLE Messages ADD COLUMN event_type VARCHAR(50)"},
		want: "column event_type of table messages has the type character varying(50), not that of this server",
	},
	{
		name: "columns of a fork", driver: "mysql", former: true, before: []string{"ALTER TABLE Messages ADD COLUMN aggregate_id VARCHAR(36)"},
		want: "column aggregate_id of table messages has the type varchar(36)",
	},
	{
		name: "events of a fork", driver: "postgres", former: true,
		before: []string{"ALTER TABLE Messages ADD COLUMN event_type TEXT", "INSERT INTO Messages (id, seq, event_type) VALUES (1, 1, 'X')"},
		want:   "table messages already has events, which this server did not write",
	},
	{
		name: "another program's migrations", driver: "postgres",
		before: []string{"CREATE TABLE goose_db_version (id INTEGER, version_id BIGINT, is_applied BOOLEAN)", "INSERT INTO goose_db_version VALUES (1, 4, TRUE)"},
		want:   "says that the schema is at version 4, but table messages is missing",
	},
	{
		name: "half a restore", driver: "mysql", former: true,
		before: []string{"CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTO_INCREMENT, version_id BIGINT, is_applied BOOLEAN)", "INSERT INTO goose_db_version VALUES (1, 9, TRUE)"},
		want:   "table messages has no column event_id: another program's, or the rest of an incomplete restore",
	},
	{name: "half a backup", driver: "postgres", former: true, before: []string{"DROP TABLE Channels"}, want: "table channels is missing, although there are messages"},
}

func replace(old, by string) func(string) string {
	return func(source string) string { return strings.Replace(source, old, by, 1) }
}

// Each wrong set-up is told at the start and by a dry run, with a remedy, before anything is changed.
func TestWrongSetups(t *testing.T) {
	t.Parallel()
	fresh := map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL, "sqlite": databases.SQLite}
	for _, it := range wrongSetups {
		t.Run(it.driver+" "+it.name, func(t *testing.T) {
			t.Parallel()
			admin := fresh[it.driver](t)
			it.try(t, admin)
		})
	}
}

func (it *setup) try(t *testing.T, admin string) {
	t.Helper()
	name := admin[strings.LastIndex(admin, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	here := strings.NewReplacer("visitor_DB", "visitor_"+name, "heir_DB", "heir_"+name, "DB", name)
	if it.former {
		baseline(t, it.driver, admin)
	}
	for _, text := range it.before {
		query(t, it.driver, admin, here.Replace(text))
		if role, created := strings.CutPrefix(here.Replace(text), "CREATE ROLE "); created {
			role = strings.TrimSuffix(role, " LOGIN")
			t.Cleanup(func() {
				query(t, it.driver, admin, "DROP OWNED BY "+role)
				query(t, it.driver, admin, "DROP ROLE "+role)
			})
		}
	}
	source := admin
	if it.source != nil {
		source = here.Replace(it.source(admin))
	}
	before := relations(t, it.driver, admin)
	store := []string{"-store", "SQL", "-sql_driver", it.driver, "-sql_source", source}
	commands := map[string][]string{"start": append([]string{"-p", "-1"}, store...), "-t": append([]string{"-t", "-p", "-1"}, store...)}
	if !it.start {
		commands["dry run"] = append([]string{"migrate", "-dry_run"}, store...)
		commands["migrate"] = append([]string{"migrate"}, store...)
	}
	want := here.Replace(it.want)
	for what, args := range commands {
		out, status := runBinary(t, args...)
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, want %q:\n%s", what, status, want, out)
		}
		if what == "start" {
			t.Log(lineWith(out, want))
		}
	}
	if after := relations(t, it.driver, admin); after != before {
		t.Errorf("tables before:\n%s\nafter:\n%s", before, after)
	}
}

// lineWith returns the line that contains a text, without the time, for make show-setups.
func lineWith(out, text string) string {
	before, after, _ := strings.Cut(out, text)
	before = before[strings.LastIndex(before, "\n")+1:]
	rest, _, _ := strings.Cut(after, "\n")
	if at := strings.Index(before, "[ERR]"); at >= 0 {
		before = before[at:]
	}
	return before + text + rest
}

// baseline makes the tables of NATS Streaming.
func baseline(t *testing.T, driver, source string) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "sql", driver, "00001_baseline.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Split(string(file), ";\n") {
		for strings.HasPrefix(strings.TrimSpace(text), "--") {
			_, text, _ = strings.Cut(strings.TrimSpace(text), "\n")
		}
		if strings.HasPrefix(strings.TrimSpace(text), "CREATE TABLE") {
			query(t, driver, source, text)
		}
	}
	query(t, driver, source, "DROP TABLE goose_db_version")
}

// relations lists the columns of all tables.
func relations(t *testing.T, driver, source string) string {
	t.Helper()
	return strings.Join(query(t, driver, source, map[string]string{
		"postgres": "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1, 2",
		"mysql":    "SELECT table_name, column_name, column_type FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1, 2",
		"sqlite":   "SELECT name, sql FROM sqlite_master ORDER BY 1",
	}[driver]), "\n")
}

// Set-ups that need a server of their own.
func TestWrongServers(t *testing.T) {
	t.Parallel()
	t.Run("mysql", func(t *testing.T) {
		t.Parallel()
		server := databases.Own(t, databases.KindMySQL)
		if err := server.Restarted("--log-bin=binlog", "--server-id=1", "--init-connect=SET sql_safe_updates = 1"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"hosted", "standby", "restored"} {
			if err := server.CreateDatabase(name); err != nil {
				t.Fatal(err)
			}
		}
		hosted := server.DSN("hosted")
		query(t, "mysql", hosted, "CREATE USER owner IDENTIFIED BY 'secret'")
		query(t, "mysql", hosted, "GRANT ALL ON hosted.* TO owner")
		query(t, "mysql", hosted, "GRANT ALL ON standby.* TO owner")
		owner := replace("eventstore:secret@", "owner:secret@")
		(&setup{driver: "mysql", source: owner, want: "SET GLOBAL log_bin_trust_function_creators = 1 while you migrate"}).try(t, hosted)
		query(t, "mysql", hosted, "SET GLOBAL log_bin_trust_function_creators = 1")
		s := start(t, "mysql", owner(hosted))
		publish(t, s.connect("client"), orders, event(t, "A", "T"), event(t, "A", "T"))
		s.Stop()
		query(t, "mysql", hosted, "SET GLOBAL read_only = 1")
		for _, database := range []string{hosted, server.DSN("standby")} { // with its schema, and without
			(&setup{driver: "mysql", source: owner, want: "it is read-only (read_only, super_read_only or transaction_read_only): name the primary"}).try(t, database)
		}
		query(t, "mysql", hosted, "SET GLOBAL read_only = 0")

		restored := server.DSN("restored")
		query(t, "mysql", restored, "CREATE USER leaver IDENTIFIED BY 'secret'")
		query(t, "mysql", restored, "GRANT ALL ON restored.* TO leaver")
		start(t, "mysql", strings.Replace(restored, "eventstore:secret@", "leaver:secret@", 1)).Stop()
		leaves(t, restored)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		server := databases.Own(t, databases.KindPostgres)
		query(t, "postgres", server.DSN("postgres"), "CREATE DATABASE mule ENCODING 'MULE_INTERNAL' TEMPLATE template0")
		store := []string{"-p", "-1", "-store", "SQL", "-sql_driver", "postgres", "-sql_source"}
		const want = "CREATE DATABASE with ENCODING 'UTF8'"
		out, status := runBinary(t, append(store, server.DSN("mule"))...)
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("status %d:\n%s", status, out)
		}
		t.Log(lineWith(out, want))
		pooler := databases.PgBouncer(t, server, "transaction")
		(&setup{driver: "postgres", source: func(string) string { return pooler.DSN("postgres") }, want: "set pool_mode = session"}).try(t, server.DSN("postgres"))
	})
}

// leaves drops the user who created the triggers, first while a server serves.
func leaves(t *testing.T, source string) {
	t.Helper()
	const remedy = "run sql/mysql/00003_immutable.sql and sql/mysql/00008_channels.sql"
	s := start(t, "mysql", source, "-store_timeout", "1s")
	sc := s.connect("client")
	publish(t, sc, orders, event(t, "A", "T"))
	query(t, "mysql", source, "DROP USER leaver")
	for range 3 {
		if err := sc.Publish(orders, event(t, "A", "T", withID("2"))); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("without the user: %v", err)
		}
	}
	if lines := strings.Count(s.Log.String(), remedy); lines != 1 {
		t.Errorf("%d lines:\n%s", lines, s.Log)
	}
	r, status := verify(t, "mysql", source)
	if status != 1 || len(r.Findings) != 1 || !strings.Contains(r.Findings[0].Text, remedy) {
		t.Errorf("verify: status %d, %+v", status, r.Findings)
	}
	query(t, "mysql", source, "CREATE USER leaver IDENTIFIED BY 'secret'")
	query(t, "mysql", source, "GRANT ALL ON restored.* TO leaver")
	eventually(t, func() bool { return sc.Publish(orders, event(t, "A", "T", withID("2"))) == nil })
	s.Stop()
	harness.Verify(t, "mysql", source)
	query(t, "mysql", source, "DROP USER leaver")
	(&setup{driver: "mysql", want: "a trigger does not run: Error 1449"}).try(t, source)
}

// Set-ups of files.
func TestWrongFiles(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	inFile := filepath.Join(file, "sub")
	for want, args := range map[string][]string{
		"name another with -dir":                        {"-store", "FILE", "-dir", inFile},
		"this user must be able to write the directory": {"-store", "SQL", "-sql_driver", "sqlite", "-sql_source", filepath.Join(inFile, "events.db")},
		"the file is not an SQLite database":            {"-store", "SQL", "-sql_driver", "sqlite", "-sql_source", file},
		"name another with -publish_dir":                {"-store", "MEMORY", "-publish_dir", filepath.Join(t.TempDir(), "absent")},
	} {
		out, status := runBinary(t, append([]string{"-p", "-1"}, args...)...)
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("%v: status %d, want %q:\n%s", args, status, want, out)
		}
		t.Log(lineWith(out, want))
	}
}

// The log and the status pages name the store as it was asked for.
func TestStoreTypes(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"FILE": {"-store", "FILE", "-dir", filepath.Join(t.TempDir(), "data")}, "MEMORY": {"-store", "MEMORY"},
		"SQL": {"-store", "SQL", "-sql_driver", "sqlite", "-sql_source", databases.SQLite(t)},
	} {
		s := prepare(t, harness.Binary())
		s.Args = append(append(s.Args, "-m", "-1"), args...)
		s.Launch()
		s.Ready()
		if got := fmt.Sprint(s.json("/streaming/storez")["type"]); got != want || !s.Log.Contains("Message store is "+want) {
			t.Errorf("type %s, want %s:\n%s", got, want, s.Log)
		}
	}
}
