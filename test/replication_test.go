package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestLogicalReplication follows docs/operate/replication.md: another server has the events, those from before the subscription and later ones.
func TestLogicalReplication(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operate/replication.md")
	if err != nil {
		t.Fatal(err)
	}
	statement := func(begin string) string {
		_, rest, ok := strings.Cut(string(page), "\n"+begin)
		text, _, _ := strings.Cut(rest, ";\n")
		if !ok {
			t.Fatalf("docs/operate/replication.md has no %s", begin)
		}
		return begin + text
	}
	original, copied := databases.Own(t, databases.KindPostgres), databases.Own(t, databases.KindPostgres)
	if err := original.Restarted("-c", "wal_level=logical"); err != nil {
		t.Fatal(err)
	}
	from, to := original.DSN("postgres"), copied.DSN("postgres")
	s := start(t, "postgres", from)
	sc := s.connect("client")
	publish(t, sc, orders, event(t, "A", "T"), event(t, "A", "T"))
	query(t, "postgres", from, statement("CREATE PUBLICATION"))
	if out, status := runBinary(t, "migrate", "-store", "SQL", "-sql_driver", "postgres", "-sql_source", to); status != 0 {
		t.Fatalf("migrate: status %d\n%s", status, out)
	}
	query(t, "postgres", to, strings.Replace(statement("CREATE SUBSCRIPTION"), "host=… dbname=… user=…", from, 1))
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
