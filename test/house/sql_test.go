package house_test

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// A serving SQL store moves to another database. Its tables stay as NATS Streaming left them.
func TestMoveFromSQL(t *testing.T) {
	t.Parallel()
	line := page.Find(t, page.Own(t, "docs/operate/moving-house.md"), "sh", "sql").Text()
	for _, it := range []struct {
		driver string
		from   func(testing.TB) string
		name   string
	}{{"postgres", databases.Postgres, "postgres"}, {"mysql", databases.MySQL, "mysql"}} {
		t.Run(it.name, func(t *testing.T) {
			t.Parallel()
			from, target := it.from(t), databases.Postgres(t)
			formerTables(t, it.driver, from)
			s, monitor := oldServer(t, "-store", "SQL", "-sql_driver", it.driver, "-sql_source", from)
			s.Launch()
			s.Ready()
			h := settle(t, s.URL())
			h.fill(shop, 500)
			h.sleeper()
			h.subscribers(true)
			h.publishers(3, true)
			c := startCopy(t, line, "OLD="+s.URL(), "MONITOR="+monitor, "SOURCE="+from, "TARGET="+target)
			c.says(t, "stop the old server now")
			h.count(100)
			s.Stop()
			c.ends(t, 0)
			replace(t, s, "postgres", target)
			h.count(100)
			h.wakes()
			h.settled("postgres", target)
			if columns := query(t, it.driver, from, "SELECT COUNT(*) FROM information_schema.columns WHERE lower(table_name) = 'messages' AND lower(column_name) = 'event_type'"); columns[0] != "0" && it.driver == "postgres" {
				t.Error("the old database was migrated")
			}
			t.Logf("%s", c.log)
		})
	}
}
