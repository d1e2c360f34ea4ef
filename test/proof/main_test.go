// Package proof_test changes events behind the server's back, as somebody can who has the database's password, and looks what the chain of
// hashes tells. It computes hashes by docs/reference/chain.md, without the code of the server.
package proof_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq"
	"github.com/nats-io/stan.go"
	_ "modernc.org/sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// run runs the tool, which must end with a status, and returns all that it prints.
func run(t *testing.T, status int, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), harness.Tool(t), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "TZ=UTC", "GORACE=atexit_sleep_ms=0"}
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("eventstore %s: status %d, want %d\n%s", strings.Join(args, " "), got, status, &out)
	}
	return out.String()
}

// store is a database with events, and heads of its chain that were kept elsewhere.
type store struct {
	driver, source    string
	db                *sql.DB
	heads, key        string // file, and public key
	privateKey        string // file
	last, lastChecked int    // position of the last event, and of the last head
}

// event is the payload of an eventstore.v1.Event.
func event(i int) []byte {
	data := fmt.Sprintf(`{"amount":%d}`, 100+i)
	payload := append([]byte("\x12\x04Paid\x1a\x02a"), byte('a'+i%7), 0x2a, byte(len(data)))
	return append(payload, data...)
}

// fill publishes events until a head was made behind them, and drops the triggers that keep events.
func fill(t *testing.T, driver, source string) *store {
	t.Helper()
	s := fillGuarded(t, driver, source)
	s.unguard(t)
	return s
}

// fillGuarded is fill, but leaves the triggers.
func fillGuarded(t *testing.T, driver, source string) *store {
	t.Helper()
	dir := t.TempDir()
	s := &store{driver: driver, source: source, heads: filepath.Join(dir, "heads.jsonl"), privateKey: filepath.Join(dir, "key.pem")}
	s.key = strings.TrimSpace(run(t, 0, "chain", "keygen", s.privateKey))
	server := harness.Start(t, driver, source, s.args()...)
	s.publish(t, server, 20)
	for deadline := time.Now().Add(harness.Patience); s.lastChecked < 20; {
		if time.Now().After(deadline) {
			t.Fatal("there is no head")
		}
		text, _ := os.ReadFile(s.heads)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		var head struct{ Position int }
		if json.Unmarshal([]byte(lines[len(lines)-1]), &head) == nil {
			s.lastChecked = head.Position
		}
	}
	server.Stop()
	harness.Verify(t, driver, source)
	s.open(t)
	return s
}

// publish publishes events on two channels.
func (s *store) publish(t *testing.T, server *harness.Server, n int) {
	t.Helper()
	sc, err := stan.Connect("test-cluster", "publisher", stan.NatsURL(server.URL()), stan.ConnectWait(harness.Patience))
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		s.last++
		if err := sc.Publish([]string{"eventstore.paid", "eventstore.other"}[s.last%3/2], event(s.last)); err != nil {
			t.Fatal(err)
		}
	}
	if err := sc.Close(); err != nil {
		t.Fatal(err)
	}
}

func (s *store) args() []string {
	return []string{"-chain_key", s.privateKey, "-chain_file", s.heads, "-chain_interval", "50ms", "-record_appenders"}
}

// open opens the database beside the server.
func (s *store) open(t *testing.T) {
	t.Helper()
	source := s.source
	if s.driver == "sqlite" {
		source += "?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(s.driver, source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	s.db = db
}

// unguard drops the triggers that keep events.
func (s *store) unguard(t *testing.T) {
	t.Helper()
	triggers := map[string][]string{
		"postgres": {"events_are_immutable ON Messages", "events_are_erased ON Messages", "events_are_not_deleted ON Messages", "heads_are_immutable ON ChainHeads", "channels_keep_events_update ON Channels"},
		"mysql":    {"events_are_immutable_update", "events_are_immutable_delete", "heads_are_immutable_update", "heads_are_immutable_delete", "channels_keep_events_update"},
		"sqlite":   {"events_are_immutable_update", "events_are_immutable_delete", "heads_are_immutable_update", "heads_are_immutable_delete", "channels_keep_events_update"},
	}
	for _, trigger := range triggers[s.driver] {
		s.exec(t, "DROP TRIGGER "+trigger)
	}
}

func (s *store) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	if s.driver == "postgres" {
		for n := 1; strings.Contains(text, "?"); n++ {
			text = strings.Replace(text, "?", fmt.Sprint("$", n), 1)
		}
	}
	if _, err := s.db.ExecContext(t.Context(), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// verify checks the chain. The status is 8 if something must be found, and what is printed has all texts.
func (s *store) verify(t *testing.T, status int, args []string, wanted ...string) {
	t.Helper()
	out := run(t, status, append([]string{"verify", "--driver", s.driver, "--dsn", s.source}, args...)...)
	for _, want := range wanted {
		if !strings.Contains(out, want) {
			t.Errorf("%v: there is no %q in\n%s", args, want, out)
		}
	}
}

// row is what the chain has of an event.
type row struct {
	position, sequence, timestamp, version     uint64
	channel, id, typ, aggregateType, aggregate string
	appender                                   uint64
	link, data                                 []byte
}

func (s *store) rows(t *testing.T) (all []row) {
	t.Helper()
	found, err := s.db.QueryContext(t.Context(), `SELECT m.position, m.seq, m.timestamp, m.event_version, c.name, m.event_id, m.event_type, m.aggregate_type, m.aggregate_id, m.appender, m.chain, m.data
FROM Messages AS m JOIN Channels AS c ON c.id = m.id WHERE m.position IS NOT NULL ORDER BY m.position`)
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r row
		var id sql.NullString
		var appender sql.NullInt64
		if err := found.Scan(&r.position, &r.sequence, &r.timestamp, &r.version, &r.channel, &id, &r.typ, &r.aggregateType, &r.aggregate, &appender, &r.link, &r.data); err != nil {
			t.Fatal(err)
		}
		r.id, r.appender = id.String, uint64(appender.Int64)
		all = append(all, r)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func (r *row) hash() []byte { return r.link[len(r.link)-32:] }

func (r *row) erased() bool { return len(r.link) == 64 }

// contentDigest and next compute what docs/reference/chain.md says.
func (r *row) contentDigest() []byte {
	if r.erased() {
		return r.link[:32]
	}
	sum := sha256.Sum256(bytes.Join([][]byte{{1}, r.link[:16], r.data}, nil))
	return sum[:]
}

func (r *row) next(before []byte) []byte {
	number := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	text := func(s string) []byte { return append(number(uint64(len(s))), s...) }
	sum := sha256.Sum256(bytes.Join([][]byte{
		{2}, before, number(r.position), text(r.channel), number(r.sequence), number(r.timestamp), text(r.id), text(r.typ), text(r.aggregateType), text(r.aggregate),
		number(r.version), number(r.appender), r.contentDigest(),
	}, nil))
	return sum[:]
}

// rechain computes all hashes anew.
func (s *store) rechain(t *testing.T) {
	t.Helper()
	before := make([]byte, sha256.Size)
	for _, r := range s.rows(t) {
		before = r.next(before)
		s.exec(t, "UPDATE Messages SET chain = ? WHERE position = ?", append(r.link[:len(r.link)-32:len(r.link)-32], before...), r.position)
	}
}

// checkChain checks the hashes, and that the last head has one of them.
func (s *store) checkChain(t *testing.T) {
	t.Helper()
	before := make([]byte, sha256.Size)
	hashes := map[uint64]string{}
	for _, r := range s.rows(t) {
		if before = r.next(before); !bytes.Equal(before, r.hash()) {
			t.Errorf("position %d has the hash %x, want %x", r.position, r.hash(), before)
			return
		}
		hashes[r.position] = hex.EncodeToString(before)
	}
	text, err := os.ReadFile(s.heads)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var head struct {
			Position uint64
			Hash     string
		}
		if err := json.Unmarshal([]byte(line), &head); err != nil || hashes[head.Position] != head.Hash {
			t.Errorf("head %s (%v), want the hash %s", line, err, hashes[head.Position])
		}
	}
}
