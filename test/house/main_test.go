// Package house_test moves house from NATS Streaming 0.25.6 as operators do: real servers, with clients that publish and acknowledge all
// the time.
package house_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/process"
	"github.com/nats-eventstore/nats-eventstore/test/upstream"
)

func TestMain(m *testing.M) { harness.Main(m) }

const cluster = "old-house"

func freePort(t *testing.T) int {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// oldServer returns a NATS Streaming with monitoring that is not started yet, and the URL of its monitoring.
func oldServer(t *testing.T, args ...string) (s *harness.Server, monitor string) {
	t.Helper()
	binary, err := upstream.Build(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	s = harness.New(t, binary, append([]string{"-cid", cluster, "-m", fmt.Sprint(port), "-max_channels", "0", "-max_msgs", "0", "-max_bytes", "0"}, args...)...)
	return s, fmt.Sprintf("http://127.0.0.1:%d", port)
}

// replace starts our server on a database in place of one that has ended.
func replace(t *testing.T, s *harness.Server, driver, source string, args ...string) {
	t.Helper()
	s.Binary = harness.Binary()
	s.Args = append(append(s.Args[:4:4], "-cid", cluster, "-store", "SQL", "-sql_driver", driver, "-sql_source", source), args...)
	s.Launch()
	s.Ready()
}

// copying is a run of eventstore copy.
type copying struct {
	*process.Process
	log *harness.Log
}

// startCopy runs a command line of a page, in which the tool is the first program.
func startCopy(t *testing.T, line string, env ...string) *copying {
	t.Helper()
	tool := harness.Tool(t)
	cmd := exec.Command("sh", "-c", "exec "+line)
	c := &copying{log: harness.NewLog()}
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.Env = append(os.Environ(), append(env, "GORACE=atexit_sleep_ms=0", "HOME="+t.TempDir(), "PATH="+filepath.Dir(tool)+":"+os.Getenv("PATH"))...)
	var err error
	if c.Process, err = process.Start(cmd, nil, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Signal(syscall.SIGKILL)
		<-c.Done()
		if t.Failed() {
			t.Logf("%s:\n%s", line, c.log)
		}
	})
	return c
}

// says waits until the tool has printed a text.
func (c *copying) says(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(harness.Patience)
	for {
		found, changed := c.log.Find(text)
		if found {
			return
		}
		select {
		case <-changed:
		case <-c.Done():
			if !c.log.Contains(text) {
				t.Fatalf("the tool ended without %q", text)
			}
		case <-deadline:
			t.Fatalf("the tool did not say %q", text)
		}
	}
}

// ends waits until the tool ends, and checks its exit status.
func (c *copying) ends(t *testing.T, status int) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(harness.Patience):
		t.Fatal("the tool does not end")
	}
	got := 0
	var exit *exec.ExitError
	if err := c.Wait(); errors.As(err, &exit) {
		got = exit.ExitCode()
	}
	if got != status {
		t.Fatalf("the tool ended with status %d, want %d", got, status)
	}
}

// query returns the first column of an answer.
func query(t *testing.T, driver, source, text string) (found []string) {
	t.Helper()
	if driver == "sqlite" {
		source += "?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	for rows.Next() {
		var value sql.NullString
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		found = append(found, value.String)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// formerTables creates the tables of NATS Streaming with the script of its release.
func formerTables(t *testing.T, driver, source string) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", upstream.Module+"@"+upstream.Version).Output()
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile(strings.TrimSpace(string(dir)) + "/scripts/" + driver + ".db.sql")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for line := range strings.Lines(string(script)) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "--") {
			text.WriteString(line)
		}
	}
	for statement := range strings.SplitSeq(text.String(), ";") {
		if strings.TrimSpace(statement) != "" {
			query(t, driver, source, statement)
		}
	}
}

// guarded is a value that several goroutines use.
type guarded[T any] struct {
	mu sync.Mutex
	v  T
}

func (g *guarded[T]) with(f func(*T)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(&g.v)
}
