package tool_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// fill stores three events of order o1 and one of o2.
func (u *user) fill() {
	u.t.Helper()
	for _, e := range [][]string{
		{"--type", "OrderPlaced", "-a", "o1", "--id", "e1", "-d", `{"amount": 12.50, "lines": {"a": 1, "b": 2}}`, "--tag", "customer:c9", "-m", "user=ada"},
		{"--type", "OrderPaid", "-a", "o1", "--id", "e2", "-d", `{"paid":true,"lines":{"b":null}}`, "--tag", "customer:c9", "--expect", "1"},
		{"--type", "OrderPlaced", "-a", "o2", "--id", "e3", "-d", `{"amount":99999999999999999999}`},
		{"--type", "OrderShipped", "-a", "o1", "--id", "e4", "-d", `{"lines":{"a":7}}`, "--occurred-at", "2026-01-02T03:04:05Z"},
	} {
		u.ok(append([]string{"append", orders, "--aggregate-type", "Order"}, e...)...)
	}
}

// What was appended is read by every filter and span, through a server, and on its database, without any server too.
func TestReads(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		s, u := server(t, driver, source)
		u.fill()
		online := u.ok("read", "-o", "json")
		if got := column(parsed(t, online), "id"); got != "e1 e2 e3 e4" {
			t.Fatalf("read %s", got)
		}
		check := func(t *testing.T, u *user) {
			t.Helper()
			for want, args := range map[string][]string{
				"e1 e2 e3 e4": {"eventstore.>"},
				"e1 e3":       {"--type", "OrderPlaced"},
				"e1 e2":       {orders, "--tag", "customer:c9"},
				"e3":          {"--aggregate", "o2"},
				"e4 e3":       {"-b", "-n", "2"},
				"e2 e3":       {"--from-position", "2", "--to-position", "3"},
				"e3 e4":       {orders, "--from-sequence", "3"},
				"e2 e1":       {orders, "-b", "--from-sequence", "2"},
				"":            {"--to-time", "2000-01-01"},
				"e2":          {"-t", "OrderP*", "--aggregate-prefix", "o1", "--aggregate-type", "Order", "--to-time", "1h", "--from-position", "9", "--tag", "customer:c9", "-b", "-n", "1"},
			} {
				if got := column(u.objects(append([]string{"read"}, args...)...), "id"); got != want {
					t.Errorf("read %v: %q, want %q", args, got, want)
				}
			}
			contains(t, u.ok("read"), "POSITION", "Order/o1", `{"amount":99999999999999999999}`)
			contains(t, u.ok("get", "e4"), "occurred at:", "2026-01-02 03:04:05", `"a": 7`)
			if got := column(u.objects("get", "--channel", orders, "--sequence", "2"), "id"); got != "e2" {
				t.Errorf("get a sequence: %s", got)
			}
			if got := column(u.objects("get", "--position", "3"), "id"); got != "e3" {
				t.Errorf("get a position: %s", got)
			}
			u.fails(notFound, "e9", "get", "e9")
			u.fails(notFound, "position 9", "get", "--position", "9")
			u.fails(notFound, "sequence 9", "read", orders, "--from-sequence", "9")
			contains(t, u.ok("channels"), orders, "4")
			contains(t, u.ok("stats"), "last position:    4")
			contains(t, u.ok("types"), "OrderPlaced", "50.0 %")
			if got := column(u.objects("types"), "events"); got != "2 1 1" {
				t.Errorf("types: %s", got)
			}
		}
		check(t, u)
		offline := newUser(t, "EVENTSTORE_DSN="+source, "EVENTSTORE_DRIVER="+driver)
		t.Run("beside the server", func(t *testing.T) { check(t, offline) })
		if got := offline.ok("read", "-o", "json"); got != online {
			t.Errorf("the database has\n%sthe server\n%s", got, online)
		}
		contains(t, offline.ok("verify"), "No faults found")
		s.Stop()
		if got := offline.ok("read", "-o", "json"); got != online {
			t.Errorf("alone, the database has\n%sthe server had\n%s", got, online)
		}
		config := filepath.Join(u.home, "server.conf")
		text := fmt.Sprintf("streaming { store: sql, sql { driver: %s, source: %q } }", driver, source)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := newUser(t).ok("read", "-o", "json", "--server-config", config); got != online {
			t.Errorf("by its configuration, the database has\n%s", got)
		}
		offline.fails(usage, "needs a server", "consumers", "ls")
		offline.fails(usage, "needs a server", "append", orders, "-t", "T", "-a", "a")
	})
}

// aggregate shows the history, the state at a version and a time, and what changed.
func TestAggregate(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	u.fill()
	contains(t, u.ok("aggregate", "o1"), "OrderShipped", "state at version 3", `"a": 7`, `"amount": 12.50`)
	at := u.objects("aggregate", "o1", "--at", "2")[0]
	if state, err := json.Marshal(at["state"]); err != nil || string(state) != `{"amount":12.5,"lines":{"a":1},"paid":true}` {
		t.Errorf("state at version 2: %s, %v", state, err)
	}
	between := u.ok("aggregate", "o1", "--diff", "1..3")
	contains(t, between, "~ /lines/a: 1 -> 7", "- /lines/b: 2", "+ /paid: true")
	u.fails(notFound, "version 3", "aggregate", "o1", "--at", "4")
	u.fails(notFound, "did not exist yet", "aggregate", "o1", "--at", "2020-01-01")
	if got := len(u.objects("aggregate", "o1", "--at", "now")[0]["events"].([]any)); got != 3 {
		t.Errorf("now it has %d events", got)
	}
	u.fails(notFound, "o7", "aggregate", "o7")
	u.ok("append", "eventstore.other", "-t", "T", "-a", "o1")
	u.fails(usage, "--channel", "aggregate", "o1")
	contains(t, u.ok("aggregate", "o1", "--channel", "eventstore.other"), "1 ")
}

// Appends hold to their expectations and conditions, are idempotent, and take JSON, files, pipes and protobuf.
func TestAppend(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	_, u := server(t, "sqlite", source)
	event := []string{"append", orders, "-t", "OrderPlaced", "-a", "o1"}
	if got := column(u.objects(append(event, "--id", "e1", "--expect", "none")...), "position"); got != "1" {
		t.Errorf("stored at %s", got)
	}
	contains(t, u.ok(append(event, "--id", "e1", "--expect", "none")...), "was stored already")
	u.fails(conflict, "o1", append(event, "--id", "e2", "--expect", "none")...)
	u.fails(conflict, "o1", append(event, "--id", "e2", "--expect", "7")...)
	u.fails(conflict, "e1", append(event, "--id", "e1", "-d", "1")...)
	u.ok(append(event, "--expect", "exists", "--tag", "name:ada", "--unless", `{"tags": ["name:ada"]}`)...)
	u.fails(conflict, "position 2", append(event, "--unless", `{"tags": ["name:ada"]}`)...)
	u.ok(append(event, "--unless", `{"tags": ["name:ada"]}`, "--after", "2")...)
	u.fails(usage, "--unless", append(event, "--unless", `{"tag": ["name:ada"]}`)...)
	u.fails(usage, "--expect", append(event, "--expect", "x")...)
	u.fails(usage, "--type", "append", orders)
	u.fails(usage, "accepts 1 arg", "append")
	u.fails(refused, "not an event channel", "append", "plain", "-t", "T", "-a", "a")

	file := filepath.Join(u.home, "data.json")
	if err := os.WriteFile(file, []byte(`{"from": "file"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	u.ok("append", "eventstore.data", "-t", "T", "-a", "a", "-d", "@"+file, "--id", "d1")
	u.run(0, `{"from": "stdin"}`, "append", "eventstore.data", "-t", "T", "-a", "a", "-d", "-", "--id", "d2")
	contains(t, u.ok("read", "eventstore.data"), `{"from":"file"}`, `{"from":"stdin"}`)

	lines := u.ok("read", "-o", "json")
	out, _ := u.run(0, lines, "append", "eventstore.copy", "-f", "-", "--batch", "2", "-o", "json")
	if got := len(parsed(t, out)); got != 5 {
		t.Errorf("%d events were copied", got)
	}
	again, _ := u.run(0, lines, "append", "eventstore.copy", "-f", "-", "--batch", "2")
	contains(t, again, "was stored already")
	_, message := u.run(usage, "{\"type\":\"T\",\"aggregate_id\":\"n\"}\n{\"typ\":\"T\"}\n", "append", "eventstore.lines", "-f", "-")
	contains(t, message, "line 2", `"typ"`)
	if got := len(u.objects("read", "eventstore.lines")); got != 1 {
		t.Errorf("%d events before the bad line are stored", got)
	}

	descriptors, err := filepath.Abs("../../proto/testdata/acme.binpb")
	if err != nil {
		t.Fatal(err)
	}
	proto := []string{"append", "eventstore.proto", "-t", "T", "-a", "a", "--descriptors", descriptors}
	u.ok(append(proto, "--message", "acme.orders.v1.Item", "-d", "{}", "--id", "p1")...)
	u.fails(usage, "there is no message", append(proto, "--message", "acme.Nothing", "-d", "{}")...)
	u.fails(usage, "nonsense", append(proto, "--message", "acme.orders.v1.Item", "-d", `{"nonsense": 1}`)...)
	if got := u.objects("get", "p1")[0]; got["content_type"] != "application/protobuf" {
		t.Errorf("encoded: %v", got)
	}

	// What was encoded is shown as JSON, by the name of the message or by the type of the event. -o json has the bytes, too.
	named := []string{"append", "eventstore.proto", "-a", "a", "--descriptors", descriptors}
	u.ok(append(named, "-t", "acme.orders.v1.Item", "-d", `{"sku":"tea","quantity":2}`, "--id", "p2")...)
	u.ok(append(named, "-t", "Item", "-d", `{"sku":"milk"}`, "--id", "p3")...)
	decoding := []string{"eventstore.proto", "--descriptors", descriptors}
	if got := u.ok(append([]string{"read"}, decoding...)...); !strings.Contains(got, `{"sku":"tea","quantity":"2"}`) || !strings.Contains(got, `{"sku":"milk"}`) {
		t.Errorf("read shows %s", got)
	}
	contains(t, u.ok(append([]string{"tail", "--limit", "3", "--message", "acme.orders.v1.Item"}, decoding...)...), `{"sku":"tea","quantity":"2"}`)
	if got := u.objects("get", "p2", "--descriptors", descriptors)[0]; fmt.Sprint(got["data"]) != "map[quantity:2 sku:tea]" || got["data_base64"] != base64.StdEncoding.EncodeToString([]byte("\n\x03tea\x10\x02")) {
		t.Errorf("get has %v", got)
	}
	contains(t, u.ok("aggregate", "a", "--channel", "eventstore.proto", "--descriptors", descriptors), `"sku": "milk"`, `"quantity": "2"`)
	u.ok("append", "eventstore.proto", "-a", "b", "--descriptors", descriptors, "-t", "unknown", "--message", "Item", "-d", `{"sku":"x"}`, "--id", "p4",
		"--content-type", "application/protobuf; messageType=acme.orders.v1.Item")
	contains(t, u.ok("get", "p4", "--descriptors", descriptors), `"sku": "x"`)
	config := u.file("server.conf", fmt.Sprintf(`streaming { store: sql, sql { driver: sqlite, source: %q }
	events: [ { channels: ["eventstore.>"] }, { channels: ["clouds"], format: cloudevents, descriptor_set: %q } ] }`, source, descriptors))
	contains(t, newUser(t).ok("get", "p2", "--server-config", config), `"sku": "tea"`)
	u.fails(usage, "name its file", "get", "p2", "--message", "acme.orders.v1.Item")
	u.fails(usage, "there is no message", "get", "p2", "--descriptors", descriptors, "--message", "x")
	u.fails(usage, "FileDescriptorSet", "get", "p2", "--descriptors", file)
}

// tail shows the last events and each new one, over a restart of the server, once; and it ends at once when it is interrupted.
func TestTail(t *testing.T) {
	t.Parallel()
	s, u := server(t, "sqlite", databases.SQLite(t))
	u.fill()
	cmd := u.command("tail", orders, "--last", "2", "-o", "json", "--wait", harness.Patience.String())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() string {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the tail ended: %v", lines.Err())
		}
		return column(parsed(t, lines.Text()), "id")
	}
	for _, want := range []string{"e3", "e4"} {
		if got := next(); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	u.ok("append", orders, "-t", "T", "-a", "a", "--id", "e5")
	if got := next(); got != "e5" {
		t.Fatalf("got %s", got)
	}
	s.Kill()
	s.Restart()
	u.ok("append", orders, "-t", "T", "-a", "a", "--id", "e6")
	if got := next(); got != "e6" {
		t.Fatalf("after the restart got %s", got)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); err != nil || len(rest) > 0 {
		t.Errorf("after ctrl-C: %s, %v", rest, err)
	}
	_ = cmd.Wait() // returns the status as an error
	if status := cmd.ProcessState.ExitCode(); status != interrupted {
		t.Errorf("status %d", status)
	}
	if got := column(u.objects("tail", "-n", "2", "--from-position", "1"), "id"); got != "e1 e2" {
		t.Errorf("tail with a limit: %s", got)
	}
}

// What a reader that has gone leaves unread is no error to tell of, and names of others cannot act on a terminal.
func TestTerminal(t *testing.T) {
	t.Parallel()
	_, u := server(t, "sqlite", databases.SQLite(t))
	u.ok("append", orders, "-t", "Evil\u009b31m\u202e", "-a", "a\u001b[2J")
	for _, out := range []string{u.ok("read"), u.ok("get", "--position", "1"), u.ok("types"), u.ok("read", "-o", "json"), u.ok("aggregate", "a\u001b[2J")} {
		if strings.ContainsAny(out, "\u001b\u009b\u202e") {
			t.Errorf("control characters in %q", out)
		}
	}
	var many strings.Builder
	for range 3000 {
		many.WriteString(`{"type":"T","aggregate_id":"a","data":"` + strings.Repeat("x", 100) + "\"}\n")
	}
	u.run(0, many.String(), "append", "eventstore.many", "-f", "-", "--batch", "1000")
	cmd := u.command("read", "-o", "json")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // a signal ends it
	if stderr.Len() > 0 || !endedBy(cmd, syscall.SIGPIPE) {
		t.Errorf("%v: %s", cmd.ProcessState, &stderr)
	}
}

func endedBy(cmd *exec.Cmd, signal syscall.Signal) bool {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == signal
}

// A server that does not answer is told at once, with its own status.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	u := newUser(t, "EVENTSTORE_URL=http://127.0.0.1:1")
	began := time.Now()
	u.fails(unreachable, "-grpc_port", "channels")
	if took := time.Since(began); took > harness.Patience/2 {
		t.Errorf("it took %v", took)
	}
	u.fails(usage, "URL", "channels", "--url", "localhost:4280")
	u.fails(usage, "unknown flag", "channels", "--nonsense")
	u.fails(usage, "unknown command", "nonsense")
	u.fails(usage, "unknown command", "consumers", "nonsense")
	u.fails(usage, "--output", "channels", "-o", "xml")
	u.fails(usage, "not a time", "read", "--from-time", "soon")
	u.fails(usage, "one of", "read", "--from-time", "1h", "--from-position", "1")
	u.fails(notFound, "no such file", "--dsn", "/nowhere/eventstore.db", "read")
	contains(t, u.ok("--help"), "read", "consumers", "doctor")
	contains(t, u.ok("--version"), "eventstore version")
	contains(t, u.ok("completion", "bash"), "eventstore")
}
