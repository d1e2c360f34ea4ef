// Package tool_test runs the built tool eventstore as its users do: with arguments, an environment and pipes, against a real server
// and real databases.
package tool_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// Exit statuses of the tool, as docs/reference/tool.md has them.
const (
	failed      = 1
	usage       = 2
	notFound    = 3
	conflict    = 4
	refused     = 5
	unreachable = 6
	warnings    = 7
	faults      = 8
	interrupted = 130
)

const orders = "eventstore.orders"

// m is a JSON object.
type m = map[string]any

// user runs the tool with an environment and a home of its own.
type user struct {
	t    *testing.T
	env  []string
	home string
}

func newUser(t *testing.T, env ...string) *user {
	home := t.TempDir()
	return &user{t: t, home: home, env: append([]string{
		"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "PATH=" + os.Getenv("PATH"), "TZ=UTC", "GORACE=atexit_sleep_ms=0",
		"GOCOVERDIR=" + os.Getenv("GOCOVERDIR"),
	}, env...)}
}

// server starts a server with the API, and returns a user whose environment names it.
func server(t *testing.T, driver, source string, args ...string) (*harness.Server, *user) {
	t.Helper()
	port, pages := freePort(t), freePort(t)
	args = append([]string{"-store_timeout", "20s", "-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port), "-m", strconv.Itoa(pages)}, args...)
	s := harness.Start(t, driver, source, args...)
	return s, newUser(t, fmt.Sprintf("EVENTSTORE_URL=http://127.0.0.1:%d", port), fmt.Sprintf("EVENTSTORE_MONITOR=http://127.0.0.1:%d", pages))
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// command is a run of the tool that has not begun.
func (u *user) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(u.t.Context(), harness.Tool(u.t), args...)
	cmd.Env, cmd.Dir = u.env, u.home
	return cmd
}

// run runs the tool, which must end with a status, and returns what it prints.
func (u *user) run(status int, stdin string, args ...string) (out, err string) {
	u.t.Helper()
	cmd := u.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	began := time.Now()
	failure := cmd.Run()
	got := 0
	var exit *exec.ExitError
	if errors.As(failure, &exit) {
		got = exit.ExitCode()
	} else if failure != nil {
		u.t.Fatal(failure)
	}
	if got != status {
		u.t.Fatalf("eventstore %s: status %d, want %d, after %v\n%s\n%s", strings.Join(args, " "), got, status, time.Since(began), &stdout, &stderr)
	}
	return stdout.String(), stderr.String()
}

// ok runs the tool, which must succeed.
func (u *user) ok(args ...string) string {
	u.t.Helper()
	out, _ := u.run(0, "", args...)
	return out
}

// objects runs the tool with -o json and returns what it prints.
func (u *user) objects(args ...string) []m {
	u.t.Helper()
	return parsed(u.t, u.ok(append(args, "-o", "json")...))
}

// fails runs the tool, which must end with a status and an error that contains a text.
func (u *user) fails(status int, text string, args ...string) {
	u.t.Helper()
	if _, err := u.run(status, "", args...); !strings.Contains(err, text) {
		u.t.Errorf("eventstore %s: %s, want %q", strings.Join(args, " "), err, text)
	}
}

func parsed(t *testing.T, text string) (all []m) {
	t.Helper()
	for line := range strings.Lines(text) {
		var object m
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, object)
	}
	return all
}

// column returns a field of all objects as one text.
func column(all []m, field string) string {
	var values []string
	for _, object := range all {
		values = append(values, fmt.Sprint(object[field]))
	}
	return strings.Join(values, " ")
}

// contains checks that a text contains others.
func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in:\n%s", want, text)
		}
	}
}

// eachDatabase runs a test on SQLite and on PostgreSQL. What works on a database without a server runs on MariaDB, too, by databases.Each.
func eachDatabase(t *testing.T, test func(t *testing.T, driver, source string)) {
	for driver, source := range map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			test(t, driver, source(t))
		})
	}
}
