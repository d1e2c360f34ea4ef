package test

import (
	"cmp"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

var long = flag.Bool("long", false, "measure longer, and on every database")

// measured is like start, for tests that measure: it runs a build without the race detector.
func measured(t testing.TB, driver, source string, args ...string) *server {
	t.Helper()
	s := measuredLater(t, driver, source, args...)
	s.Launch()
	s.Ready()
	return s
}

// measuredLater is like measured, but the test launches the server itself.
func measuredLater(t testing.TB, driver, source string, args ...string) *server {
	t.Helper()
	s := prepare(t, harness.Plain(t), append([]string{"-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)...)
	s.driver, s.source = driver, source
	return s
}

// alone returns a database on a server that no other test uses, so its counters reflect only this test.
func alone(t testing.TB, driver string) (source string) {
	t.Helper()
	if driver == "sqlite" {
		return databases.SQLite(t)
	}
	db := databases.Own(t, databases.Kind(driver))
	if err := db.CreateDatabase("events"); err != nil {
		t.Fatal(err)
	}
	return db.DSN("events")
}

// lock has another database client lock the messages until unlock or the end of the test. On SQLite it locks the file.
func lock(t testing.TB, driver, source string) (unlock func()) {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // the lock belongs to one connection
	statements := map[string][]string{
		"sqlite":   {"PRAGMA busy_timeout = 10000", "BEGIN EXCLUSIVE"},
		"postgres": {"BEGIN", "LOCK TABLE Messages IN ACCESS EXCLUSIVE MODE"},
		"mysql":    {"LOCK TABLES Messages WRITE"},
	}
	for _, text := range statements[driver] {
		if _, err := db.ExecContext(context.Background(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	locked := true
	unlock = func() {
		t.Helper()
		if !locked {
			return
		}
		locked = false
		if err := db.Close(); err != nil { // ends the transaction
			t.Error(err)
		}
	}
	t.Cleanup(unlock)
	return unlock
}

// statements counts the statements that the database has executed. PostgreSQL counts transactions, with a delay of a
// second.
func statements(t testing.TB, driver, source string) int {
	t.Helper()
	if driver == "postgres" {
		return figure(t, query(t, driver, source, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")[0])
	}
	return status(t, source, "Questions")
}

// writes counts the writing transactions of a database server.
func writes(t testing.TB, driver, source string) int {
	t.Helper()
	if driver == "postgres" {
		return figure(t, query(t, driver, source, "SELECT pg_snapshot_xmax(pg_current_snapshot())")[0])
	}
	return status(t, source, "Com_commit")
}

// status reads a counter of MariaDB.
func status(t testing.TB, source, name string) int {
	t.Helper()
	_, value, _ := strings.Cut(query(t, "mysql", source, "SHOW GLOBAL STATUS LIKE '"+name+"'")[0], "|")
	return figure(t, value)
}

func figure(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cpu returns the processor time that the server has used.
func (s *server) cpu() time.Duration {
	s.t.Helper()
	stat := s.proc("stat") // pid (name) state … utime stime; times are in hundredths of a second
	fields := strings.Fields(stat[strings.LastIndex(stat, ")"):])
	return time.Duration(figure(s.t, fields[12])+figure(s.t, fields[13])) * 10 * time.Millisecond
}

// memory returns the server's peak memory in bytes.
func (s *server) memory() int {
	s.t.Helper()
	_, rest, _ := strings.Cut(s.proc("status"), "VmHWM:")
	return figure(s.t, strings.Fields(rest)[0]) << 10
}

// proc reads a file of the server's process in /proc: see proc(5).
func (s *server) proc(file string) string {
	s.t.Helper()
	if runtime.GOOS != "linux" {
		s.t.Skip("needs /proc, which only Linux has")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", s.Process.PID(), file))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// median returns the middle value.
func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
