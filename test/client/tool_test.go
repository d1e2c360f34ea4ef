package client

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// order returns an event of an order.
func order(kind, id, data string) eventstore.NewEvent {
	return eventstore.NewEvent{Type: kind, AggregateType: "Order", AggregateID: id, Payload: []byte(data)}
}

// What docs/guides/sql-projections.md shows works as it says.
func TestSQLProjectionsPage(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/guides/sql-projections.md")
	s := &server{harness.Start(t, "sqlite", databases.SQLite(t), "-grpc_host", "127.0.0.1", "-grpc_port", "-1"), t, "sqlite", ""}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "orders.yaml"), []byte(page.Find(t, blocks, "yaml", "").Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := func(name, more string) string {
		t.Helper()
		text := strings.ReplaceAll(strings.TrimSpace(page.Find(t, blocks, "sh", name).Text()), "http://127.0.0.1:50051", s.api())
		cmd := exec.CommandContext(patient(t), "sh", "-ec", text+more)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+filepath.Dir(harness.Tool(t))+":"+os.Getenv("PATH"), "GORACE=atexit_sleep_ms=0")
		var out, log bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &log
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s: %v\n%s%s", text, err, &out, &log)
		}
		return out.String()
	}
	if out := shell("check", ""); !page.Find(t, blocks, "", "").Matches(out) {
		t.Errorf("the check prints %s", out)
	}
	if _, err := s.client().Append(patient(t), "eventstore.orders", []eventstore.NewEvent{
		order("OrderPlaced", "o-1", `{"customer":{"id":"c-1"},"total":12.50}`), order("Other", "o-1", ""), order("OrderShipped", "o-1", ""),
	}); err != nil {
		t.Fatal(err)
	}
	shell("run", " --once")
	if out := shell("status", ""); !page.Find(t, blocks, "text", "status").Matches(out) {
		t.Errorf("the status is %s", out)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "orders.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	read := func() string {
		t.Helper()
		var id, customer, total, status string
		var note sql.NullString
		if err := db.QueryRowContext(patient(t), "SELECT id, customer, total, status, note FROM orders").Scan(&id, &customer, &total, &status, &note); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(id, " ", customer, " ", total, " ", status, " ", note.Valid)
	}
	const want = "o-1 c-1 12.5 shipped false"
	if got := read(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	shell("rebuild", "")
	shell("drop", "")
	if got := read(); got != want {
		t.Errorf("rebuilt, got %s, want %s", got, want)
	}
	if _, err := db.ExecContext(patient(t), "SELECT 1 FROM orders_1"); err == nil {
		t.Error("the old table is still there")
	}
}

// Replicas of the tool that are killed at any moment apply each event exactly once.
func TestToolKilled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *server) {
		const n = 3000
		file, err := filepath.Abs("../../examples/projections/orders-" + s.driver + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		dsn := map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL}[s.driver](t)
		start := func(log *harness.Log, args ...string) *process.Process {
			t.Helper()
			cmd := exec.Command(harness.Tool(t), append([]string{"project", "-f", file, "--url", s.api()}, args...)...)
			cmd.Env, cmd.Stderr = append(os.Environ(), "EVENTSTORE_INTO="+dsn, "GORACE=atexit_sleep_ms=0"), log
			p, err := process.Start(cmd, nil, syscall.SIGKILL)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Kill() })
			return p
		}
		c := s.client()
		first, second := start(harness.NewLog()), start(harness.NewLog())
		for i := range n / 500 {
			var events []eventstore.NewEvent
			for j := range 500 {
				events = append(events, order("OrderPlaced", fmt.Sprint(i*500+j), `{"customer":"c","total":1,"lines":[]}`))
			}
			if _, err := c.Append(patient(t), "eventstore.orders", events); err != nil {
				t.Fatal(err)
			}
			if i == 2 {
				_ = first.Kill()
				first = start(harness.NewLog())
			}
		}
		_ = second.Kill()
		_ = first.Kill()
		log := harness.NewLog()
		last := start(log, "--once")
		<-last.Done()
		db, err := sql.Open(s.driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var orders, rows int
		var total float64
		err = db.QueryRowContext(patient(t), "SELECT orders, total FROM customers").Scan(&orders, &total)
		err = errors.Join(err, db.QueryRowContext(patient(t), "SELECT COUNT(*) FROM orders").Scan(&rows))
		if err != nil || orders != n || total != n || rows != n {
			t.Errorf("%d orders, total %.0f, %d rows, %v; the tool says %s", orders, total, rows, err, log)
		}
	})
}
