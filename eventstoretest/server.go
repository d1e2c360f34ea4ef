package eventstoretest

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// patience bounds each wait for the server. A passing test never waits that long.
const patience = 30 * time.Second

// stopTimeout is how long a server waits for clients to leave their connections. Its requests are answered before.
const stopTimeout = 20 * time.Millisecond

// host is where the ports of all servers are.
const host = "127.0.0.1"

// Server is an event store in the process of a test. Its methods fail the test if something goes wrong. Those that take no testing.TB must be
// called by the test's own goroutine.
type Server struct {
	t      testing.TB
	name   string // unlike that of any other server in the process
	config config.Options
	log    log
	faults faults
	db     *database

	running *running // nil while the server is stopped
	nats    *net.TCPAddr
	api     *net.TCPAddr
}

// running is one run of the server.
type running struct {
	stop   context.CancelFunc
	ended  chan error
	labels pprof.LabelSet
}

// Option configures a Server.
type Option func(*options)

type options struct {
	config []string
	token  string
}

// Config sets options of the server, as its configuration file has them (docs/reference/options.md): routes, consumers, limits, users,
// and so on. Several texts count together. The store is always in memory, and the ports are chosen by the system.
func Config(text string) Option { return func(o *options) { o.config = append(o.config, text) } }

// Token makes the API ask for a bearer token, which Server.Client sends. By default it asks for none.
func Token(token string) Option { return func(o *options) { o.token = token } }

// servers counts the servers of the process.
var servers atomic.Uint64

// Start starts a server, and returns once it serves. The server ends with the test, which fails if a goroutine of the server is left then.
// Its log is shown if the test fails. Servers share nothing, so that tests can run in parallel.
func Start(t testing.TB, given ...Option) *Server {
	t.Helper()
	var o options
	for _, set := range given {
		set(&o)
	}
	s := &Server{t: t, name: fmt.Sprintf("eventstoretest-%d", servers.Add(1))}
	var err error
	if s.config, err = settings.Parse("eventstoretest.Config", strings.Join(o.config, "\n")); err != nil {
		t.Fatalf("eventstoretest: %v", err)
	}
	if s.config.StoreType != config.StoreMemory {
		t.Fatal("eventstoretest: the server keeps its events in memory: leave the store out of Config")
	}
	if o.token != "" {
		s.config.API.Token = o.token
	}
	t.Cleanup(s.end)
	s.db = newDatabase(t, s.name)
	s.config.NATS.Host, s.config.API.Host = host, host
	s.config.NATS.Port, s.config.API.Port = -1, -1
	s.config.LogTo = &s.log
	s.config.API.StopTimeout = stopTimeout
	s.config.API.Wrap = s.faults.wrap(s.config.API.Token)
	s.config.Store = stores.Options{Driver: "sqlite", Source: ":memory:", WrapConnector: s.db.connector}
	s.start()
	s.faults.direct = s.newClient(s.faults.pass)
	return s
}

// start runs the server until it serves.
func (s *Server) start() {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	run := &running{stop: stop, ended: make(chan error, 1), labels: pprof.Labels("eventstoretest", s.name)}
	ready := make(chan config.Addresses, 1)
	o := s.config
	o.NATS = o.NATS.Clone() // the NATS server changes it
	o.Started = func(at config.Addresses) error {
		select {
		case ready <- at:
		default: // it serves again, after it has lost the database
		}
		return nil
	}
	go pprof.Do(ctx, run.labels, func(ctx context.Context) { run.ended <- server.Run(ctx, o) })
	select {
	case at := <-ready:
		s.nats, s.api = at.NATS.(*net.TCPAddr), at.API.(*net.TCPAddr)
		s.config.NATS.Port, s.config.API.Port = s.nats.Port, s.api.Port // a restart keeps them
		s.running = run
	case err := <-run.ended:
		stop()
		s.t.Fatalf("eventstoretest: the server did not start: %v", err)
	case <-time.After(patience):
		stop()
		s.t.Fatalf("eventstoretest: the server did not start within %v", patience)
	}
}

// Stop stops the server: calls fail as unavailable, and connections to NATS are lost, until Restart.
func (s *Server) Stop() {
	s.t.Helper()
	run := s.running
	if run == nil {
		return
	}
	s.running = nil
	run.stop()
	select {
	case err := <-run.ended:
		if err != nil {
			s.t.Errorf("eventstoretest: the server ended with %v", err)
		}
	case <-time.After(patience):
		s.t.Errorf("eventstoretest: the server did not stop within %v", patience)
		return
	}
	if left := awaitNoGoroutines(s.name, patience); left != "" {
		s.t.Errorf("eventstoretest: goroutines of the server are left:\n%s", left)
	}
}

// Restart stops the server, unless it is stopped, and starts it again on the same ports with all that it has stored.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// end ends what the test used.
func (s *Server) end() {
	s.t.Helper()
	if s.faults.direct != nil {
		s.faults.direct.Close()
	}
	s.Stop()
	if s.db != nil {
		s.db.close()
	}
	if !s.t.Failed() {
		for _, complaint := range s.faults.unused() {
			s.t.Error("eventstoretest: " + complaint)
		}
	}
	if s.t.Failed() {
		s.t.Logf("log of the event store:\n%s", s.log.String())
	}
}

// URL returns the base URL of the API: gRPC and HTTP.
func (s *Server) URL() string { return "http://" + s.api.String() }

// NATSURL returns the URL for clients of NATS and NATS Streaming.
func (s *Server) NATSURL() string { return "nats://" + s.nats.String() }

// ClusterID returns what clients of NATS Streaming connect to, besides NATSURL.
func (s *Server) ClusterID() string { return s.config.ClusterID }

// Client returns a new client of the API. It is closed with the test.
func (s *Server) Client() *eventstore.Client {
	s.t.Helper()
	client := s.newClient(s.config.API.Token)
	s.t.Cleanup(client.Close)
	return client
}

func (s *Server) newClient(token string) *eventstore.Client {
	s.t.Helper()
	client, err := eventstore.New(eventstore.Options{URLs: []string{s.URL()}, Token: token})
	if err != nil {
		s.t.Fatalf("eventstoretest: %v", err)
	}
	return client
}

// DB returns the server's database, for questions in SQL (docs/reference/sql.md). Close rows before the server writes again: SQLite in
// memory has no readers beside its writer.
func (s *Server) DB() *sql.DB { return s.db.asks }

// log collects what the server logs.
type log struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
