package failover

import (
	"database/sql"
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestGalera removes nodes of a Galera cluster under load: the node in use, another one, and one that merely refuses
// work. Then a second server takes over through another node while the node of the first is paused and later resumed.
func TestGalera(t *testing.T) {
	t.Parallel()
	nodes := databases.Galera(t, 3)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(nodes[0].CreateDatabase("events"))
	s := harness.Start(t, "mysql", databases.Nodes("events", nodes...), "-store_timeout", "2s")
	l := startLoad(t, s.URL(), "a")
	l.await(200)

	// An administrator takes the node in use out of service.
	administer(t, nodes[0], "SET GLOBAL wsrep_reject_queries = 'ALL'")
	l.await(200)
	administer(t, nodes[0], "SET GLOBAL wsrep_reject_queries = 'NONE'")
	// The server now uses node 1.
	ok(nodes[2].Kill())
	l.await(200)
	ok(nodes[2].Restart())
	ok(databases.Synced(nodes...))
	ok(nodes[1].Kill())
	l.await(200)
	ok(nodes[1].Restart())
	ok(databases.Synced(nodes...))

	// A server on another node takes over. The first one resumes with unfinished transactions and must not write
	// anything.
	standby := harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", "mysql", "-sql_source", nodes[1].DSN("events"), "-store_timeout", "2s")
	standby.Launch()
	standby.WaitLog(t, "standby mode")
	s.Process.Signal(syscall.SIGSTOP)
	standby.Ready()
	second := startLoad(t, standby.URL(), "b")
	second.await(100)
	s.Process.Signal(syscall.SIGCONT)
	s.WaitLog(t, "stepping down")
	second.await(100)
	second.check()
	l.end()
	standby.Stop()
	harness.Verify(t, "mysql", nodes[2].DSN("events"))
}

func administer(t *testing.T, node *databases.Server, statement string) {
	t.Helper()
	db, err := sql.Open("mysql", node.DSN("mysql"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}
