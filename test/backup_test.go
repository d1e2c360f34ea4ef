package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// load publishes events, one after the other, until it is stopped.
type load struct {
	mu    sync.Mutex // guards acked
	acked int
	stop  func() // waits until the last one is acknowledged
}

func startLoad(t *testing.T, s *server) *load {
	t.Helper()
	l := &load{}
	sc := s.connect("load")
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := sc.Publish(orders, event(t, "A", "T")); err != nil {
				t.Error(err)
				return
			}
			l.mu.Lock()
			l.acked++
			l.mu.Unlock()
		}
	})
	l.stop = sync.OnceFunc(func() { close(done); running.Wait() })
	t.Cleanup(l.stop)
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// reach waits until more events are acknowledged.
func (l *load) reach(t *testing.T, n int) int {
	t.Helper()
	eventually(t, func() bool { return l.count() >= n })
	return l.count()
}

// TestBackups runs the commands of docs/operate/backup.md under load. A restored copy holds what was acknowledged before the backup
// began, and nothing but whole commits; a server goes on with it.
func TestBackups(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/backup.md")
	run := func(t *testing.T, g *walk, name string) {
		t.Helper()
		g.shell(page.Find(t, blocks, "sh", name).Text())
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		g := &walk{t: t, dir: t.TempDir()}
		g.install()
		restored := map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL}[driver](t)
		g.env = append(g.env, "SOURCE="+source)
		if driver == "mysql" {
			g.mysqlClient(source)
			g.env = append(g.env, "RESTORED="+restored[strings.LastIndex(restored, "/")+1:])
		} else {
			g.env = append(g.env, "RESTORED="+restored)
		}

		s := start(t, driver, source)
		l := startLoad(t, s)
		before := l.reach(t, 20)
		run(t, g, driver)
		if driver == "sqlite" {
			run(t, g, "sqlite client")
			harness.Verify(t, driver, filepath.Join(g.dir, "eventstore.copy"))
		}
		l.reach(t, l.count()+20)
		l.stop()
		s.Stop()
		run(t, g, driver+" restore")
		continues(t, driver, restored, before, l.count()-1)
	})
}

// continues checks that a restored database is clean and holds between least and most events, and that a server goes on with it.
func continues(t *testing.T, driver, source string, least, most int) {
	t.Helper()
	harness.Verify(t, driver, source)
	var held int
	if _, err := fmt.Sscan(query(t, driver, source, "SELECT COUNT(*) FROM events")[0], &held); err != nil || held < least || held > most {
		t.Fatalf("%d events (%v), want %d to %d", held, err, least, most)
	}
	s := start(t, driver, source)
	publish(t, s.connect("after"), orders, event(t, "A", "T", withVersion(uint64(held)+1)))
	s.Stop()
	harness.Verify(t, driver, source)
}

// TestPointInTime restores a base backup, made under load, to a moment between two events.
func TestPointInTime(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/operate/backup.md")
	server := databases.Own(t, databases.KindPostgres)
	archive, err := server.Archive(page.Find(t, blocks, "conf", "").Text())
	if err != nil {
		t.Fatal(err)
	}
	source := server.DSN("postgres")
	s := start(t, "postgres", source)
	l := startLoad(t, s)
	l.reach(t, 20)
	base := filepath.Join(filepath.Dir(archive), "base")
	g := &walk{t: t, dir: t.TempDir(), env: append(os.Environ(), "SOURCE="+source, "BASE="+base)}
	g.shell(page.Find(t, blocks, "sh", "base").Text())
	g.shell(`chmod -R a+rX "$BASE"`) // the account of the other server reads it
	l.reach(t, l.count()+20)
	l.stop()
	moment := query(t, "postgres", source, "SELECT clock_timestamp()::text")[0]
	publish(t, s.connect("after"), orders, event(t, "A", "T"))
	s.Stop()

	recovered := databases.Recovered(t, server, page.Find(t, blocks, "sh", "recover").Text(), "BASE="+base, "ARCHIVE="+archive, "TIME="+moment)
	continues(t, "postgres", recovered.DSN("postgres"), l.count(), l.count())
}

// A copy that nobody can write is verified, too: a standby of PostgreSQL, and a file of SQLite without its log.
func TestVerifyReadOnly(t *testing.T) {
	t.Parallel()
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		primary, standby := databases.Synchronous(t)
		s := start(t, "postgres", primary.DSN("postgres"))
		publish(t, s.connect("client"), orders, event(t, "A", "T"))
		s.Stop()
		eventually(t, func() bool { // a standby applies a commit later than it confirms it
			rows, err := tryQuery("postgres", standby.DSN("postgres"), "SELECT COUNT(*) FROM events")
			return err == nil && rows[0] == "1"
		})
		harness.Verify(t, "postgres", standby.DSN("postgres"))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		source := databases.SQLite(t)
		s := start(t, "sqlite", source)
		publish(t, s.connect("client"), orders, event(t, "A", "T"))
		s.Stop()
		g := &walk{t: t, dir: t.TempDir(), env: append(os.Environ(), "SOURCE="+source, "SERVER="+harness.Binary())}
		drop := "" // root's right to write what it may not
		if os.Geteuid() == 0 {
			drop = "setpriv --bounding-set=-dac_override --inh-caps=-dac_override "
		}
		out := g.shell(`chmod 400 "$SOURCE"
chmod 500 "$(dirname "$SOURCE")"
trap 'chmod 700 "$(dirname "$SOURCE")"' EXIT
` + drop + `"$SERVER" verify -store SQL -sql_driver sqlite -sql_source "$SOURCE" 2>&1
`)
		if !strings.Contains(out, "No faults found.") || strings.Contains(out, "WARN") {
			t.Error(out)
		}
	})
}
