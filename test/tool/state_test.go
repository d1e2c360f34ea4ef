package tool_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// doctor finds nothing wrong with a good server and its database, and says what is wrong with others, by its exit status too.
func TestDoctor(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, u := server(t, driver, source)
		u.fill()
		contains(t, u.ok("doctor"), "it leads", "may administer", "server and tool have")
		u.ok("consumers", "set", orders, "g", "--max-deliveries", "1")
		offline := []string{"doctor", "--driver", driver, "--dsn", source}
		examined := func(wanted ...string) {
			t.Helper()
			cmd := u.command(append(offline, "-o", "json")...)
			out, _ := cmd.Output() // the status tells of warnings: the database of a test does not write to disk at each commit
			contains(t, string(out), append(wanted, "its schema has version")...)
			if strings.Contains(string(out), `"fault"`) {
				t.Errorf("a fault in %s", out)
			}
		}
		examined("a server leads")
		s.Stop()
		examined("no server leads")
		out, _ := u.run(faults, "", "doctor")
		contains(t, out, "fault    ", "it does not answer", "-> start it")
	})
	u := newUser(t)
	out, _ := u.run(faults, "", "doctor", "--dsn", filepath.Join(t.TempDir(), "no.db"))
	contains(t, out, "no such file")
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	u.run(faults, "", "doctor", "--dsn", text)
}

// Without a terminal, top prints one frame; bench prints a histogram, and stores nothing without --yes.
func TestTopAndBench(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	u.fails(refused, "--yes", "bench", "append", "eventstore.bench")
	contains(t, u.ok("bench", "append", "eventstore.bench", "-n", "50", "-j", "4", "--yes"), "99.9 %", "events/s")
	if got := u.objects("stats")[0]["events"]; got != 50.0 {
		t.Errorf("bench stored %v events", got)
	}
	if got := u.objects("bench", "read", "-n", "50", "--batch", "10")[0]; got["events"] != 50.0 || got["p99"].(float64) <= 0 {
		t.Errorf("bench read: %v", got)
	}
	contains(t, u.ok("top", "--interval", "100ms"), "appended", "committed", "position 50")
	if got := u.objects("top", "-i", "100ms")[0]["position"]; got != 50.0 {
		t.Errorf("top: %v", got)
	}
	u.env = u.env[:len(u.env)-1] // without the monitoring port
	contains(t, u.ok("top", "-i", "100ms"), "--monitor")
	u.fails(usage, "--monitor", "relays")
	_, progress := u.run(0, "", "types", "--progress")
	_ = progress // there may be none within the time that it takes
}

// routes lists what a configuration file says; relays and routes ask the monitoring port.
func TestRoutes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	text := `jetstream {}
streaming { routes: [ { types: ["Order*"], channel: "copies" }, { stream: ORDERS, subject: "ORDERS.{event_type}" } ] }`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, u := server(t, "sqlite", databases.SQLite(t), "-c", file)
	contains(t, u.ok("routes", "--server-config", file), "channel copies", "stream ORDERS")
	u.fill()
	contains(t, u.ok("routes"), "since the server started: 4")
	contains(t, u.ok("relays"), "ORDERS")
}

// With the URLs of all servers, the tool finds the one that leads, also when that changes.
func TestLeaderChange(t *testing.T) {
	t.Parallel()
	source := databases.Postgres(t)
	first, u := server(t, "postgres", source)
	port := freePort(t)
	second := harness.New(t, harness.Binary(), "-store", "SQL", "-sql_driver", "postgres", "-sql_source", source, "-store_timeout", "20s",
		"-grpc_host", "127.0.0.1", "-grpc_port", strconv.Itoa(port))
	second.Launch()
	second.WaitLog(t, "Starting in standby mode")
	other := fmt.Sprintf("http://127.0.0.1:%d", port)
	url := strings.TrimPrefix(u.env[len(u.env)-2], "EVENTSTORE_URL=")
	u.env[len(u.env)-2] = "EVENTSTORE_URL=" + other + "," + url
	u.fill()
	contains(t, u.ok("doctor"), "it leads", "it stands by")
	u.fails(unreachable, "does not serve", "channels", "--url", other, "--wait", "100ms")
	first.Kill()
	u.ok("append", orders, "-t", "T", "-a", "a", "--id", "later", "--wait", harness.Patience.String())
	if got := column(u.objects("read"), "id"); got != "e1 e2 e3 e4 later" {
		t.Errorf("after the change: %s", got)
	}
}

// An older or foreign database is told apart from a good one, and stays as it is.
func TestForeignDatabases(t *testing.T) {
	t.Parallel()
	u := newUser(t)
	empty := filepath.Join(t.TempDir(), "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	u.fails(notFound, "no tables", "read", "--dsn", empty)
	if info, err := os.Stat(empty); err != nil || info.Size() > 4096 {
		t.Errorf("the empty file has %d bytes now, %v", info.Size(), err)
	}
	u.fails(usage, "exclude", "read", "--dsn", empty, "--server-config", "x")
	u.fails(usage, "--dsn", "verify")
}
