package failover

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	_ "modernc.org/sqlite"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// former is the commit of the version that TestRollingUpgrade starts from. Its programs refuse any newer schema, so they are not
// rolled back to.
const former = "074955ba5c9faa9b649637615b7787938059bab9"

// A leader and its standby are replaced by another version, one after the other, while publishers that retry see no other error
// than those of a takeover: from a former version to this one, and from this one to one with a newer schema and back.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	t.Run("former version", func(t *testing.T) {
		t.Parallel()
		binary := builtFrom(t, former)
		if binary == "" {
			t.Logf("commit %s is not in this clone, so this version takes the place of the former one", former)
			binary = harness.Plain(t)
		}
		databases.Each(t, func(t *testing.T, driver, source string) {
			p := startPair(t, driver, source, binary)
			p.replace(harness.Plain(t))
			p.check(harness.Plain(t))
		})
	})
	t.Run("newer schema", func(t *testing.T) {
		t.Parallel()
		newer := newerBinary(t)
		databases.Each(t, func(t *testing.T, driver, source string) {
			p := startPair(t, driver, source, harness.Plain(t))
			p.replace(newer)
			if got := p.schema(); got != laterVersion {
				t.Errorf("the schema is at version %d after the upgrade", got)
			}
			p.replace(harness.Plain(t))
			p.replace(newer)
			p.check(newer)
		})
	})
}

// builtFrom builds a version from the history of the repository. It returns "" if the clone is too shallow.
func builtFrom(t *testing.T, commit string) string {
	t.Helper()
	root := moduleRoot(t)
	if exec.Command("git", "-C", root, "cat-file", "-e", commit+"^{commit}").Run() != nil {
		return ""
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "source.tar")
	run(t, root, "git", "archive", "--output", source, commit)
	run(t, dir, "tar", "-xf", source)
	binary := filepath.Join(dir, "former")
	run(t, dir, "go", "build", "-trimpath", "-o", binary, "./cmd/nats-streaming-server")
	return binary
}

// laterVersion is the schema version of newerBinary.
const laterVersion = 90

// newerBinary builds this version with one more migration, which adds to the schema.
func newerBinary(t *testing.T) string {
	t.Helper()
	root, dir := moduleRoot(t), t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	for driver, statements := range map[string][2]string{
		"postgres": {"", "ALTER TABLE Messages ADD COLUMN later BIGINT;\nCREATE INDEX Idx_Later ON Messages (later);"},
		"mysql":    {"-- +goose NO TRANSACTION\n", "ALTER TABLE Messages ADD COLUMN later BIGINT, ADD INDEX Idx_Later (later);"},
		"sqlite":   {"", "ALTER TABLE Messages ADD COLUMN later BIGINT;\nCREATE INDEX Idx_Later ON Messages (later);"},
	} {
		text := fmt.Sprintf("%s-- +goose Up\n%s\nCREATE TABLE Later (id BIGINT PRIMARY KEY);\nINSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, TRUE);\n",
			statements[0], statements[1], laterVersion)
		file := filepath.Join(dir, driver+".sql")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][filepath.Join(root, "sql", driver, fmt.Sprintf("%05d_later.sql", laterVersion))] = file
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "newer")
	run(t, root, "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "./cmd/nats-streaming-server")
	return binary
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(run(t, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-eventstore/nats-eventstore"))
}

// run runs a program that must succeed, and returns its output.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return string(out)
}

// pair is two servers of one database in one NATS cluster, with clients.
type pair struct {
	t               *testing.T
	driver, source  string
	leader, standby *harness.Server
	load            *load
	api             *apiPublisher
}

func startPair(t *testing.T, driver, source, binary string) *pair {
	t.Helper()
	var clusters, apis []int
	for range 2 {
		for _, ports := range []*[]int{&clusters, &apis} {
			port, err := databases.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			*ports = append(*ports, port)
		}
	}
	server := func(i int) *harness.Server {
		return harness.New(t, binary, "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-grpc_port", strconv.Itoa(apis[i]),
			"-cluster", fmt.Sprint("nats://127.0.0.1:", clusters[i]), "-routes", fmt.Sprint("nats://127.0.0.1:", clusters[1-i]))
	}
	p := &pair{t: t, driver: driver, source: source, leader: server(0), standby: server(1)}
	p.leader.Launch()
	p.leader.Ready()
	p.standby.Launch()
	p.standby.WaitLog(t, "Starting in standby mode")
	p.load = startLoad(t, p.leader.URL()+","+p.standby.URL(), "clients")
	p.api = startAPIPublisher(t, apis)
	p.progress()
	return p
}

// replace upgrades, or downgrades, one server after the other as an operator does: first the standby, then the leader.
func (p *pair) replace(binary string) {
	p.t.Helper()
	p.standby.Stop()
	p.standby.Binary = binary
	p.standby.Launch()
	p.standby.WaitLog(p.t, "Starting in standby mode")
	p.progress()
	p.leader.Stop()
	p.standby.Ready()
	p.progress()
	p.leader.Binary = binary
	p.leader.Launch()
	p.leader.WaitLog(p.t, "Starting in standby mode")
	p.progress()
	p.leader, p.standby = p.standby, p.leader
}

// progress waits until each kind of publisher had some of its events acknowledged.
func (p *pair) progress() {
	p.t.Helper()
	p.load.await(20)
	p.api.await(5)
}

func (p *pair) schema() (version int) {
	p.t.Helper()
	p.query("SELECT MAX(version_id) FROM goose_db_version", &version)
	return version
}

func (p *pair) query(text string, into ...any) {
	p.t.Helper()
	db, err := sql.Open(p.driver, p.source)
	if err != nil {
		p.t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(p.t.Context(), text).Scan(into...); err != nil {
		p.t.Fatalf("%s: %v", text, err)
	}
}

// check stops the clients and checks what is stored: nothing is lost and nothing is there twice.
func (p *pair) check(binary string) {
	p.t.Helper()
	published := p.api.end()
	p.load.check()
	var events, ids, last int
	p.query("SELECT COUNT(*), COUNT(DISTINCT event_id), MAX(event_version) FROM events WHERE channel = '"+apiChannel+"'", &events, &ids, &last)
	if events != published || ids != published || last != published {
		p.t.Errorf("%d events with %d event_ids, the last has version %d; %d were published by the API", events, ids, last, published)
	}
	out, err := exec.CommandContext(p.t.Context(), binary, "verify", "-store", "SQL", "-sql_driver", p.driver, "-sql_source", p.source).CombinedOutput()
	if err != nil {
		p.t.Errorf("verify: %v\n%s", err, out)
	}
}

const apiChannel = "eventstore.api"

// apiPublisher appends one event after another, and asks both servers in turn until one of them has it.
type apiPublisher struct {
	t        *testing.T
	stop     context.CancelFunc
	ended    sync.WaitGroup
	acked    int // when ended
	progress chan struct{}
}

func startAPIPublisher(t *testing.T, ports []int) *apiPublisher {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &apiPublisher{t: t, stop: stop, progress: make(chan struct{})}
	var servers []eventstorev1connect.EventStoreClient
	for _, port := range ports {
		servers = append(servers, eventstorev1connect.NewEventStoreClient(http.DefaultClient, fmt.Sprint("http://127.0.0.1:", port)))
	}
	p.ended.Go(func() { p.run(ctx, servers) })
	t.Cleanup(func() { p.end() })
	return p
}

func (p *apiPublisher) run(ctx context.Context, servers []eventstorev1connect.EventStoreClient) {
	for ctx.Err() == nil {
		version := uint64(p.acked + 1)
		request := &eventstorev1.AppendRequest{Channel: apiChannel, Events: []*eventstorev1.Event{
			{EventId: fmt.Sprint("api-", version), EventType: "Counted", AggregateType: "Counter", AggregateId: "api", EventVersion: version},
		}}
		for tries := 0; ; tries++ {
			// Without the context of the test: an event that is sent is also counted.
			attempt, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			_, err := servers[tries%len(servers)].Append(attempt, request)
			cancel()
			if err == nil {
				break
			}
			if code := connect.CodeOf(err); code != connect.CodeUnavailable && code != connect.CodeDeadlineExceeded {
				p.t.Errorf("append event %d: %v", version, err)
				return
			}
			if tries > 10_000 {
				p.t.Errorf("append event %d: no server took it: %v", version, err)
				return
			}
			time.Sleep(10 * time.Millisecond) // as a publisher that retries does
		}
		p.acked++
		select {
		case p.progress <- struct{}{}:
		default:
		}
	}
}

func (p *apiPublisher) await(events int) {
	p.t.Helper()
	for range events {
		select {
		case <-p.progress:
		case <-time.After(harness.Patience):
			p.t.Fatal("timeout waiting for an event of the API")
		}
	}
}

// end returns how many events were acknowledged.
func (p *apiPublisher) end() int {
	p.stop()
	p.ended.Wait()
	return p.acked
}
