package databases

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // driver "sqlite"
)

// childEnv makes this test binary the child process that TestKilled kills.
const childEnv = "NATS_EVENTSTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	Main(m)
}

func TestEachDatabaseIsFreshAndEmpty(t *testing.T) {
	t.Parallel()
	for range 2 {
		Each(t, func(t *testing.T, driver, source string) {
			db := open(t, driver, source)
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER)"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestServerLives(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{KindPostgres, KindMySQL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := start(t, kind)
			if err := s.CreateDatabase("lives"); err != nil {
				t.Fatal(err)
			}
			db := open(t, string(kind), s.DSN("lives"))
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (n INTEGER)"); err != nil {
				t.Fatal(err)
			}
			for i, end := range []func() error{s.Kill, s.Shutdown} {
				if _, err := db.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO t VALUES (%d)", i)); err != nil {
					t.Fatal(err)
				}
				if err := end(); err != nil {
					t.Fatal(err)
				}
				if err := db.PingContext(t.Context()); err == nil {
					t.Fatal("the server answers after it was stopped")
				}
				if err := s.Restart(); err != nil {
					t.Fatal(err)
				}
				var n int
				if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t").Scan(&n); err != nil {
					t.Fatal(err)
				}
				if n != i+1 {
					t.Errorf("%d rows after restart %d, want %d", n, i, i+1)
				}
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(s.directory.path); !os.IsNotExist(err) {
				t.Errorf("the directory still exists: %v", err)
			}
		})
	}
}

// No server survives a killed test process.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{KindPostgres, KindMySQL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			if _, err := find(kind); err != nil && os.Getenv("CI") == "" {
				t.Skip(err)
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childEnv+"="+string(kind))
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			path, dsn, _ := strings.Cut(strings.TrimSpace(line), " ")
			t.Cleanup(func() {
				if err := os.RemoveAll(path); err != nil {
					t.Error(err)
				}
			})
			db := open(t, string(kind), dsn)
			if err := db.PingContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed
			for end := time.Now().Add(20 * time.Second); db.PingContext(t.Context()) == nil; {
				if time.Now().After(end) {
					t.Fatal("the server still runs")
				}
				time.Sleep(10 * time.Millisecond) // polls another process
			}
		})
	}
}

// child starts a server, reports its address, and waits to be killed.
func child() {
	s, err := Start(Kind(os.Getenv(childEnv)), Fast)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.directory.path, s.DSN(s.engine.none()))
	select {}
}

func TestSweepSparesTheLiving(t *testing.T) {
	s := start(t, KindPostgres)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(s.directory.lockName(), old, old); err != nil {
		t.Fatal(err)
	}
	dead, err := newDirectory("", "dead", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dead.lockName(), old, old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(dead.lock.Fd()), syscall.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	sweep()
	if _, err := os.Stat(s.directory.path); err != nil {
		t.Errorf("swept the directory of a running server: %v", err)
	}
	if _, err := os.Stat(dead.path); !os.IsNotExist(err) {
		t.Errorf("kept the directory of a dead server: %v", err)
	}
}

func start(t *testing.T, kind Kind) *Server {
	t.Helper()
	if _, err := find(kind); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	s, err := Start(kind, Fast)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
