package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// TestLogicalReplication follows docs/operate/replication.md: another server has the events, those from before the subscription and later ones.
func TestLogicalReplication(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/replication.md")
	statement := func(name string) string { return page.Find(t, blocks, "sql", name).Text() }
	original, copied := databases.Own(t, databases.KindPostgres), databases.Own(t, databases.KindPostgres)
	if err := original.Restarted("-c", "wal_level=logical"); err != nil {
		t.Fatal(err)
	}
	from, to := original.DSN("postgres"), copied.DSN("postgres")
	s := start(t, "postgres", from)
	sc := s.connect("client")
	publish(t, sc, orders, event(t, "A", "T"), event(t, "A", "T"))
	query(t, "postgres", from, statement("publish"))
	if out, status := runBinary(t, "migrate", "-store", "SQL", "-sql_driver", "postgres", "-sql_source", to); status != 0 {
		t.Fatalf("migrate: status %d\n%s", status, out)
	}
	query(t, "postgres", to, strings.Replace(statement("subscribe"), "host=… dbname=… user=…", from, 1))
	held := func(want int) {
		t.Helper()
		eventually(t, func() bool {
			return query(t, "postgres", to, "SELECT COUNT(*) FROM events")[0] == fmt.Sprint(want)
		})
	}
	held(2)
	l := startLoad(t, s)
	l.reach(t, 50)
	l.stop()
	held(2 + l.count())
	const events = "SELECT md5(string_agg(e::text, ' ' ORDER BY channel, sequence)) FROM events AS e"
	if got, want := query(t, "postgres", to, events)[0], query(t, "postgres", from, events)[0]; got != want {
		t.Error("the copy has other events")
	}
	s.Stop()
	query(t, "postgres", to, "DROP SUBSCRIPTION eventstore_events")
}

// TestBinaryLog follows docs/operate/replication.md: the binary log has each event as one INSERT, in the order of sequences, and nothing
// changes one.
func TestBinaryLog(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/replication.md")
	server := databases.Own(t, databases.KindMySQL)
	var settings []string
	for line := range strings.Lines(page.Find(t, blocks, "conf", "").Text()) {
		settings = append(settings, "--"+strings.Join(strings.Fields(line), ""))
	}
	if err := server.Restarted(settings...); err != nil {
		t.Fatal(err)
	}
	if err := server.CreateDatabase("events"); err != nil {
		t.Fatal(err)
	}
	source := server.DSN("events")
	s := start(t, "mysql", source)
	l := startLoad(t, s)
	l.reach(t, 50)
	l.stop()
	s.Stop()

	log := strings.Fields(strings.ReplaceAll(query(t, "mysql", source, "SHOW BINARY LOGS")[0], "|", " "))[0]
	query(t, "mysql", source, "FLUSH BINARY LOGS") // the reader stops at the end of a log
	g := &walk{t: t, dir: t.TempDir(), env: append(os.Environ(), "LOG="+log)}
	g.mysqlClient(source)
	g.shell(page.Find(t, blocks, "sh", "").Text())
	changes, err := os.ReadFile(filepath.Join(g.dir, "changes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	inserted := regexp.MustCompile("### INSERT INTO `events`.`Messages`\n### SET\n###   @1=1 .*\n###   @2=([0-9]+) ").FindAllStringSubmatch(string(changes), -1)
	if len(inserted) != l.count() {
		t.Fatalf("%d events in the log, want %d", len(inserted), l.count())
	}
	for i, m := range inserted {
		if m[1] != fmt.Sprint(i+1) {
			t.Fatalf("change %d has sequence %s", i+1, m[1])
		}
	}
	for _, change := range []string{"UPDATE", "DELETE FROM"} {
		if strings.Contains(string(changes), "### "+change+" `events`.`Messages`") {
			t.Errorf("the log has an %s of Messages", change)
		}
	}
}
