package test

import (
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// mistakes are what an administrator does to the database of a running server, how it is undone, and what the error says.
var mistakes = []struct {
	name, driver string
	begin, end   []string
	want         string
}{
	{"drops a table", "postgres", []string{"ALTER TABLE Channels RENAME TO gone"}, []string{"ALTER TABLE gone RENAME TO Channels"}, "restore a backup"},
	{"drops a table", "mysql", []string{"RENAME TABLE Channels TO gone"}, []string{"RENAME TABLE gone TO Channels"}, "restore a backup"},
	{"drops a column", "postgres", []string{"ALTER TABLE Messages RENAME COLUMN metadata TO gone"}, []string{"ALTER TABLE Messages RENAME COLUMN gone TO metadata"}, "restore a backup"},
	{"drops a column", "mysql", []string{"ALTER TABLE Messages CHANGE metadata gone JSON"}, []string{"ALTER TABLE Messages CHANGE gone metadata JSON"}, "restore a backup"},
	{"takes a right", "postgres", []string{"REVOKE INSERT ON Messages FROM server_DB"}, []string{"GRANT INSERT ON Messages TO server_DB"}, "run sql/roles/postgres_grants.sql again"},
	{"takes a right", "mysql", []string{"REVOKE INSERT ON DB.Messages FROM server_DB"}, []string{"GRANT INSERT ON DB.Messages TO server_DB"}, "run sql/roles/mysql_grants.sql again"},
}

// What an administrator breaks under a running server is an outage with one line that says what to do, and ends by itself
// once it is mended.
func TestMistakesOfAdministrators(t *testing.T) {
	t.Parallel()
	fresh := map[string]func(testing.TB) string{"postgres": databases.Postgres, "mysql": databases.MySQL}
	for _, it := range mistakes {
		t.Run(it.driver+" "+it.name, func(t *testing.T) {
			t.Parallel()
			admin := fresh[it.driver](t)
			name, _, _ := strings.Cut(admin[strings.LastIndex(admin, "/")+1:], "?")
			here := strings.NewReplacer("server_DB", "server_"+name, "DB", name)
			change := func(texts []string) {
				t.Helper()
				for _, text := range texts {
					query(t, it.driver, admin, here.Replace(text))
				}
			}
			if out, status := runBinary(t, "migrate", "-store", "SQL", "-sql_driver", it.driver, "-sql_source", admin); status != 0 {
				t.Fatal(out)
			}
			user := map[string][]string{
				"postgres": {"CREATE ROLE server_DB LOGIN", "GRANT ALL ON SCHEMA public TO server_DB", "GRANT ALL ON ALL TABLES IN SCHEMA public TO server_DB"},
				"mysql":    {"CREATE USER server_DB IDENTIFIED BY 'secret'", "GRANT SELECT, UPDATE, DELETE ON DB.* TO server_DB"},
			}[it.driver]
			if it.driver == "mysql" { // revoking a right to a whole database does not concern sessions that use it
				for _, table := range query(t, it.driver, admin, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'") {
					user = append(user, "GRANT INSERT ON DB."+table+" TO server_DB")
				}
			}
			change(user)
			if it.driver == "postgres" {
				t.Cleanup(func() { change([]string{"DROP OWNED BY server_DB", "DROP ROLE server_DB"}) })
			}
			s := start(t, it.driver, strings.Replace(admin, "eventstore:secret@", here.Replace("server_DB:secret@"), 1), "-store_timeout", "1s")
			sc := s.connect("client")
			publish(t, sc, orders, event(t, "A", "T"))
			change(it.begin)
			refused := func(want string) bool {
				err := sc.Publish(orders, event(t, "A", "T", withID("2")))
				if err == nil {
					t.Fatal("a message was stored")
				}
				return strings.Contains(err.Error(), want)
			}
			// On a slow machine the deadline can end the last attempt, which then says no more than that.
			eventually(t, func() bool { return refused(it.want) })
			if !refused("the database is unavailable") {
				t.Error("the database is not said to be unavailable")
			}
			change(it.end)
			eventually(t, func() bool { return sc.Publish(orders, event(t, "A", "T", withID("2"))) == nil })
			s.WaitLog(t, "The database stores messages again")
			if lines := strings.Count(s.Log.String(), "The database is unavailable error="); lines != 1 {
				t.Errorf("%d lines:\n%s", lines, s.Log)
			}
			s.Stop()
			harness.Verify(t, it.driver, admin)
		})
	}
}
