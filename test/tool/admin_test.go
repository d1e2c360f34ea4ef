package tool_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/authority"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// connect connects a client of NATS Streaming.
func connect(t *testing.T, s *harness.Server, id string) stan.Conn {
	t.Helper()
	sc, err := stan.Connect("test-cluster", id, stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sc.Close() }) // it may have been kicked
	return sc
}

// An operator finds out why a durable is stuck, skips and parks, replays and discards, moves, pauses and drops it, and the audit
// table has each act.
func TestConsumers(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s, u := server(t, driver, source)
		for i := range 4 {
			u.ok("append", orders, "-t", "OrderPlaced", "-a", "o"+strconv.Itoa(i))
		}
		contains(t, u.ok("consumers", "set", orders, "d:g", "--max-deliveries", "1", "--ack-wait", "200ms", "--max-inflight", "1"), "max_deliveries: 1")
		sc := connect(t, s, "worker")
		got := make(chan *stan.Msg, 100)
		sub, err := sc.QueueSubscribe(orders, "g", func(msg *stan.Msg) { got <- msg }, stan.DurableName("d"), stan.SetManualAckMode(), stan.DeliverAllAvailable())
		if err != nil {
			t.Fatal(err)
		}
		next := func(want uint64) *stan.Msg {
			t.Helper()
			select {
			case msg := <-got:
				if msg.Sequence != want {
					t.Fatalf("got message %d, want %d", msg.Sequence, want)
				}
				return msg
			case <-time.After(harness.Patience):
				t.Fatalf("no message %d", want)
				return nil
			}
		}
		next(1) // is never acknowledged, and therefore parked
		if err := next(2).Ack(); err != nil {
			t.Fatal(err)
		}
		next(3)
		next(4)
		u.until(3, "parked")
		contains(t, u.ok("consumers", "ls"), "d:g", "up to date")
		if got := column(u.objects("consumers", "parked", orders, "d:g"), "sequence"); got != "1 3 4" {
			t.Fatalf("parked: %s", got)
		}
		contains(t, u.ok("consumers", "parked", orders, "d:g"), "OrderPlaced", "o0")
		u.fails(usage, "--all", "consumers", "replay", orders, "d:g")
		contains(t, u.ok("consumers", "replay", orders, "d:g", "1"), "replayed 1")
		if err := next(1).Ack(); err != nil {
			t.Fatal(err)
		}
		u.fails(usage, "--reason", "consumers", "discard", orders, "d:g", "3", "-y")
		u.fails(refused, "--yes", "consumers", "discard", orders, "d:g", "3", "--reason", "test")
		contains(t, u.ok("consumers", "discard", orders, "d:g", "3", "--reason", "test", "--yes"), "discarded 1")
		contains(t, u.ok("consumers", "pause", orders, "d:g"), "paused")
		u.ok("append", orders, "-t", "OrderPlaced", "-a", "o5")
		u.until(1, "lag_messages")
		u.fails(refused, "--yes", "consumers", "skip", orders, "d:g", "5")
		u.ok("consumers", "skip", orders, "d:g", "5", "-y", "--reason", "test")
		u.until(0, "lag_messages")
		contains(t, u.ok("consumers", "resume", orders, "d:g"), "worker")
		u.fails(usage, "one of", "consumers", "reset", orders, "d:g", "-y")
		u.fails(refused, "--yes", "consumers", "reset", orders, "d:g", "--to-sequence", "2")
		u.ok("consumers", "reset", orders, "d:g", "--to-sequence", "2", "--yes")
		if err := next(2).Ack(); err != nil {
			t.Fatal(err)
		}
		u.ok("consumers", "reset", orders, "d:g", "--to-end", "--yes")
		u.ok("consumers", "reset", orders, "d:g", "--to-time", "1h", "--yes")
		u.ok("consumers", "reset", orders, "d:g", "--to-position", "5", "--yes")
		u.fails(refused, "active", "consumers", "drop", orders, "d:g", "--yes")
		contains(t, u.ok("clients", "ls"), "worker", "healthy")
		u.fails(refused, "--yes", "clients", "kick", "worker")
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		u.ok("clients", "kick", "worker", "--yes", "--reason", "test")
		u.fails(notFound, "worker", "clients", "kick", "worker", "--yes")
		contains(t, u.ok("consumers", "ls", "--by-lag"), "offline")
		u.ok("consumers", "drop", orders, "d:g", "--yes")
		u.fails(notFound, "d:g", "consumers", "show", orders, "d:g")
		actions := column(u.objects("audit", "--limit", "0"), "action")
		for _, action := range []string{"configure", "replay", "discard", "pause", "skip", "resume", "drop", "kick"} {
			if !strings.Contains(actions, action) {
				t.Errorf("the audit table has no %s: %s", action, actions)
			}
		}
		if got := len(u.objects("audit", "-n", "2")); got != 2 {
			t.Errorf("audit -n 2 printed %d", got)
		}
		u.fails(notFound, "e9", "delivery", "cancel", orders, "e9", "--yes")
	})
}

// The delayed delivery of an event is cancelled by its ID.
func TestDelivery(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(`streaming { events: [ { channels: ["eventstore.>"], delays: true } ] }`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, u := server(t, "sqlite", databases.SQLite(t), "-c", file)
	u.ok("append", orders, "-t", "T", "-a", "a", "--id", "later", "-m", "deliver_at=2100-01-01T00:00:00Z")
	u.fails(refused, "--yes", "delivery", "cancel", orders, "later")
	u.ok("delivery", "cancel", orders, "later", "--yes")
	contains(t, u.ok("audit"), "later")
}

// until waits until a field of the consumer d:g has a value.
func (u *user) until(want float64, field string) {
	u.t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for {
		got := u.objects("consumers", "show", orders, "d:g")[0][field]
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			u.t.Fatalf("%s is %v, want %v", field, got, want)
		}
	}
}

// principal is a block of an access file for a principal whose token is its name.
func principal(name, rights string) string {
	return fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
}

// Tokens come from files, the environment and contexts; what a token may not do is refused, with its status.
func TestTokensAndContexts(t *testing.T) {
	t.Parallel()
	access := filepath.Join(t.TempDir(), "access.conf")
	text := "principals: [\n" + principal("reader", `read: ["eventstore.>"]`) + principal("writer", `append: ["eventstore.>"], read: ["eventstore.>"]`) +
		principal("root", `admin: [">"], monitor: true`) + "]\n"
	if err := os.WriteFile(access, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, u := server(t, "sqlite", databases.SQLite(t), "-access_file", access)
	url := strings.TrimPrefix(u.env[len(u.env)-2], "EVENTSTORE_URL=")
	u.fails(refused, "--token-file", "channels")
	u.fails(refused, "no valid token", "channels", "--token", "wrong")
	file := filepath.Join(u.home, "token")
	if err := os.WriteFile(file, []byte("writer\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	event := []string{"append", orders, "-t", "T", "-a", "a"}
	u.ok(append(event, "--token-file", file)...)
	u.fails(refused, `"reader"`, append(event, "--token", "reader")...)
	u.fails(refused, `"writer"`, "clients", "ls", "--token", "writer")
	u.fails(refused, `"writer"`, "consumers", "pause", orders, "g", "--token", "writer")
	u.fails(notFound, "no such file", "channels", "--token-file", "nowhere")
	u.fails(usage, "exclude", "channels", "--token", "a", "--token-file", file)

	u.env = u.env[:len(u.env)-2] // now contexts say where the server is
	u.fails(notFound, "context add", "channels", "--context", "prod")
	u.fails(usage, "--url", "context", "add", "prod")
	contains(t, u.ok("context", "add", "prod", "--url", url, "--token-file", "token"), "in use")
	u.ok("context", "add", "admin", "--url", url, "--token", "root")
	contains(t, u.ok("channels"), orders)
	listed := u.ok("context", "ls")
	contains(t, listed, "* ", "prod", file)
	if strings.Contains(listed, "root") {
		t.Error("context ls shows a token")
	}
	u.fails(refused, `"writer"`, "clients", "ls")
	u.ok("clients", "ls", "--context", "admin")
	u.ok("context", "use", "admin")
	u.ok("clients", "ls")
	if got := column(u.objects("context", "ls"), "current"); got != "true false" {
		t.Errorf("current: %s", got)
	}
	u.ok("context", "rm", "admin")
	u.fails(notFound, "admin", "context", "use", "admin")
	u.env = append(u.env, "EVENTSTORE_CONTEXT=prod")
	contains(t, u.ok("channels"), orders)
	info, err := os.Stat(filepath.Join(u.home, "config", "eventstore", "contexts.json"))
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the contexts: %v, %v", info.Mode(), err)
	}
}

// The tool speaks TLS, with and without a certificate of its own, and says what is wrong with one.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := authority.New(t), authority.New(t)
	id, own := ca.Issue("server"), ca.Issue("tool")
	caFile, otherFile := ca.File, other.File
	_, u := server(t, "sqlite", databases.SQLite(t), "-grpc_cert", id.Cert, "-grpc_key", id.Key, "-grpc_client_ca", caFile)
	url := strings.Replace(strings.TrimPrefix(u.env[len(u.env)-2], "EVENTSTORE_URL="), "http:", "https:", 1)
	good := []string{"--url", url, "--ca", caFile, "--cert", own.Cert, "--key", own.Key}
	u.ok(append(good, "append", orders, "-t", "T", "-a", "a")...)
	contains(t, u.ok(append(good, "read")...), orders)
	out, _ := u.run(warnings, "", append(good, "doctor")...) // certificates of tests do not last
	contains(t, out, "certificate", "it leads")
	u.fails(unreachable, "--ca", "channels", "--url", url)
	u.fails(unreachable, "x509", "channels", "--url", url, "--ca", otherFile)
	u.fails(unreachable, "certificate required", "channels", "--url", url, "--ca", caFile)
	u.fails(usage, "need each other", "channels", "--cert", own.Cert)
	u.fails(usage, "no certificate", append([]string{"channels"}, "--url", url, "--ca", own.Key)...)
	u.fails(unreachable, "https", "channels", "--url", strings.Replace(url, "https:", "http:", 1), "--wait", "100ms")
}
