package databases

import (
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
)

// standby is a PostgreSQL server that copies another one and follows it until it is promoted.
type standby struct {
	postgres
	primary int // port of the primary
}

func (s standby) initialize(dir string) ([]string, error) {
	return []string{filepath.Join(s.bin, "pg_basebackup"), "-D", filepath.Join(dir, "data"), "-R", "-X", "stream",
		"--checkpoint=fast", "--no-sync", "-h", "127.0.0.1", "-p", strconv.Itoa(s.primary), "-U", account}, nil
}

// Synchronous returns a PostgreSQL server and its standby, without which the server confirms no commit. Both are stopped
// when the test ends.
func Synchronous(t testing.TB) (primary, second *Server) {
	t.Helper()
	primary = Own(t, KindPostgres)
	e := standby{primary.engine.(postgres), primary.port}
	second = required(t)(startEngine("", KindPostgres, e, Fast, 0))
	stopAtEnd(t, second)
	if err := primary.Synchronise("*"); err != nil {
		t.Fatal(err)
	}
	return primary, second
}

// Synchronise makes a PostgreSQL server confirm a commit only when one of the named standbys has it on disk; "*" means
// any.
func (s *Server) Synchronise(standbys string) error {
	if err := s.exec(fmt.Sprintf("ALTER SYSTEM SET synchronous_standby_names = '%s'", standbys)); err != nil {
		return err
	}
	return s.exec("SELECT pg_reload_conf()")
}

// Hosts returns the URL of a database that two PostgreSQL servers hold.
func Hosts(a, b *Server, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1,127.0.0.1/%s?port=%d,%d&sslmode=disable", account, password, database, a.port, b.port)
}

// Promote turns a standby into a primary, and returns when it takes writes.
func (s *Server) Promote() error { return s.exec("SELECT pg_promote()") }
