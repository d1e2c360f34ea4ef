// Package moving_test moves event stores from one database to another with the built tool, while real clients use them.
package moving_test

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	"github.com/nats-io/stan.go"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

const orders = "eventstore.orders"

// place is a database.
type place struct{ driver, source string }

func newPlace(t *testing.T, driver string) place {
	t.Helper()
	return place{driver, map[string]func(testing.TB) string{"sqlite": databases.SQLite, "postgres": databases.Postgres, "mysql": databases.MySQL}[driver](t)}
}

// tool is a run of the tool that has not begun.
func tool(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.Tool(t), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "TZ=UTC", "GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + os.Getenv("GOCOVERDIR")}
	return cmd
}

// run runs the tool, which must end with a status, and returns all that it prints.
func run(t *testing.T, status int, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := tool(t, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Fatalf("eventstore %s: status %d, want %d\n%s", strings.Join(args, " "), got, status, &out)
	}
	return out.String()
}

// call runs the tool, which must succeed.
func call(t testing.TB, args ...string) string {
	t.Helper()
	out, err := tool(t, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("eventstore %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// copyArgs are the arguments of a copy.
func copyArgs(from, to place, more ...string) []string {
	return append([]string{"copy", "--from-driver", from.driver, "--from-dsn", from.source, "--to-driver", to.driver, "--to-dsn", to.source}, more...)
}

func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in:\n%s", want, text)
		}
	}
}

func (p place) open(t *testing.T) *sql.DB {
	t.Helper()
	source := p.source
	if p.driver == "sqlite" {
		source += "?_pragma=busy_timeout(20000)"
	}
	db, err := sql.Open(p.driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (p place) exec(t *testing.T, texts ...string) {
	t.Helper()
	db := p.open(t)
	for _, text := range texts {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// tables are all tables of the schema with the columns that a copy keeps, and the order in which a dump has their rows.
var tables = []string{
	"SELECT id, proto, version FROM ServerInfo ORDER BY id",
	"SELECT position FROM StoreLock",
	"SELECT id, name, maxseq, msgs, bytes FROM Channels WHERE deleted = FALSE ORDER BY id",
	"SELECT id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, position, appender, erased, chain FROM Messages ORDER BY id, seq",
	"SELECT tag, position FROM EventTags ORDER BY position, tag",
	"SELECT position FROM TimeSteps ORDER BY position",
	"SELECT id, hbinbox, proto FROM Clients ORDER BY id",
	"SELECT id, subid, lastsent, proto, client, name, kind FROM Subscriptions WHERE deleted = FALSE ORDER BY subid",
	"SELECT subid, p.row, seq, lastsent, pending, acks FROM SubsPending AS p ORDER BY subid, p.row",
	"SELECT consumer, id, lastsent, members FROM Consumers ORDER BY consumer",
	"SELECT consumer, part, pending FROM ConsumersPending ORDER BY consumer, part",
	"SELECT consumer, part, counts FROM ConsumersRedelivered ORDER BY consumer, part",
	"SELECT consumer, pattern FROM Wildcards ORDER BY consumer",
	"SELECT consumer, channel, client, name, settings FROM NamedConsumers ORDER BY consumer",
	"SELECT consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason FROM Parked ORDER BY consumer, seq",
	"SELECT id, seq FROM CancelledDeliveries ORDER BY id, seq",
	"SELECT id, time, principal, address, action, target, detail FROM AuditEntries ORDER BY id",
	"SELECT id, principal, client_id, address FROM Appenders ORDER BY id",
	"SELECT id, requested, principal, reason, state, events, copies, erased FROM Erasures ORDER BY id",
	"SELECT position, hash, time, cluster_id, public_key, signature FROM ChainHeads ORDER BY position",
	"SELECT stream, position FROM Relays ORDER BY stream",
}

// dump returns all rows of the tables, which are all that are not empty, as a text. (Documents are those of verify.)
func (p place) dump(t *testing.T) string {
	t.Helper()
	db := p.open(t)
	var out strings.Builder
	for _, text := range tables {
		fmt.Fprintln(&out, text)
		dumpRows(t, db, text, &out)
	}
	return out.String()
}

func dumpRows(t *testing.T, db *sql.DB, text string, out io.Writer) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		for _, v := range values {
			if b, ok := v.([]byte); ok && !utf8.Valid(b) || ok && slices.Contains(b, 0) {
				v = hex.EncodeToString(b)
			} else if ok {
				v = string(b)
			}
			fmt.Fprintf(out, "%q ", fmt.Sprint(v))
		}
		fmt.Fprintln(out)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// same checks that two dumps are equal.
func same(t *testing.T, want, got string) {
	t.Helper()
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			t.Fatalf("line %d is\n%.500s\nin the copy, and\n%.500s\nin the source", i+1, y, x)
		}
	}
}

// server starts a server with the API on a database, and returns it with the arguments by which the tool finds it.
func server(t *testing.T, p place, args ...string) (*harness.Server, []string) {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-store_timeout", "20s", "-grpc_host", "127.0.0.1", "-grpc_port", fmt.Sprint(port)}, args...)
	return harness.Start(t, p.driver, p.source, args...), []string{"--url", fmt.Sprintf("http://127.0.0.1:%d", port)}
}

func connect(t *testing.T, s *harness.Server, id string, options ...stan.Option) stan.Conn {
	t.Helper()
	sc, err := stan.Connect("test-cluster", id, append([]stan.Option{stan.NatsURL(s.URL()), stan.ConnectWait(harness.Patience)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sc.Close() }) // it may be closed
	return sc
}

// config writes a configuration file with a streaming block.
func config(t *testing.T, block string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte("streaming {\n"+block+"\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// receive returns the next message of a channel.
func receive(t *testing.T, from <-chan *stan.Msg) *stan.Msg {
	t.Helper()
	select {
	case m := <-from:
		return m
	case <-time.After(harness.Patience):
		t.Fatal("no message")
		return nil
	}
}
