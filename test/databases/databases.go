// Package databases gives tests and benchmarks private database servers: real ones from the distribution's packages, in
// temporary directories, on free loopback ports, run by any user including root. On Linux, nothing of them outlives the
// process that started them, even if it is killed.
//
// A test process has one server of each kind, started when a test first needs it:
//
//	func TestMain(m *testing.M) { databases.Main(m) }
//
//	func TestAppend(t *testing.T) {
//		databases.Each(t, func(t *testing.T, driver, source string) { … })
//	}
package databases

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// The account of every server. It has a password so that tests can check that nothing prints it.
const (
	account  = "eventstore"
	password = "secret"
)

// shared holds the servers of this test process.
var shared = map[Kind]*sharedServer{
	KindPostgres: {kind: KindPostgres},
	KindMySQL:    {kind: KindMySQL},
}

type sharedServer struct {
	kind  Kind
	mu    sync.Mutex // guards the fields below
	tried bool
	s     *Server
	err   error
}

func (h *sharedServer) get() (*Server, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.tried {
		h.tried = true
		h.s, h.err = Start(h.kind, Fast)
	}
	return h.s, h.err
}

func (h *sharedServer) stop() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.s == nil {
		return nil
	}
	return h.s.Stop()
}

// Main runs the tests of a package, stops the servers that they started, and exits. Call it from TestMain.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is like Main, for a TestMain with more to clean up. It returns the exit status.
func Run(m *testing.M) int {
	code := m.Run()
	for _, h := range shared {
		if err := h.stop(); err != nil {
			fmt.Fprintf(os.Stderr, "stop %s: %v\n", h.kind, err)
			code = max(code, 1)
		}
	}
	return code
}

// Postgres returns the URL of a fresh, empty database, which is dropped when the test ends. Without PostgreSQL, the test
// is skipped, or fails if the environment variable CI is set.
func Postgres(t testing.TB) string {
	t.Helper()
	return fresh(t, KindPostgres)
}

// MySQL is like Postgres, for MariaDB or MySQL. It returns a DSN for github.com/go-sql-driver/mysql.
func MySQL(t testing.TB) string {
	t.Helper()
	return fresh(t, KindMySQL)
}

// SQLite returns the path of a new database file, in a directory that is removed when the test ends.
func SQLite(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "events.db")
}

// Each runs a parallel subtest on each database, named after its driver, with a fresh database as source.
func Each(t *testing.T, test func(t *testing.T, driver, source string)) {
	t.Helper()
	sources := []struct {
		driver string
		source func(testing.TB) string
	}{{"sqlite", SQLite}, {"postgres", Postgres}, {"mysql", MySQL}}
	for _, s := range sources {
		t.Run(s.driver, func(t *testing.T) {
			t.Parallel()
			test(t, s.driver, s.source(t))
		})
	}
}

var databases atomic.Int64

// Own starts a server for one test, because the test would disturb others. The server is stopped when the test ends.
func Own(t testing.TB, kind Kind) *Server {
	t.Helper()
	return OwnIn(t, kind, "")
}

// OwnIn is like Own, but puts the server's directory into parent. The test removes parent later.
func OwnIn(t testing.TB, kind Kind, parent string) *Server {
	t.Helper()
	s := required(t)(startIn(parent, kind, Fast, 0))
	stopAtEnd(t, s)
	return s
}

// OwnOn is like Own, but the server listens on a port, which must be free, and has further arguments.
func OwnOn(t testing.TB, kind Kind, port int, arguments ...string) *Server {
	t.Helper()
	s := required(t)(startIn("", kind, Fast, port, arguments...))
	stopAtEnd(t, s)
	return s
}

func stopAtEnd(t testing.TB, s *Server) {
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// required skips the test if the server is not installed. In CI, the test fails instead.
func required(t testing.TB) func(*Server, error) *Server {
	return func(s *Server, err error) *Server {
		t.Helper()
		var missing *MissingError
		if errors.As(err, &missing) && os.Getenv("CI") == "" {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func fresh(t testing.TB, kind Kind) string {
	t.Helper()
	s := required(t)(shared[kind].get())
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.CreateDatabase(name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(name); err != nil {
			t.Error(err)
		}
	})
	return s.DSN(name)
}
