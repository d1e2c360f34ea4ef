package test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// patience bounds every wait; a test that passes never waits that long.
const patience = 30 * time.Second

// server is one running binary.
type server struct {
	t      testing.TB
	binary string // "": the one under test
	args   []string
	dir    string // working directory; "": that of the test
	port   int
	driver string
	source string

	process *process.Process
	log     *logLines
}

// start runs the binary on a database until it is ready, and stops it when the test ends.
func start(t testing.TB, driver, source string, args ...string) *server {
	t.Helper()
	s := launch(t, driver, source, args...)
	s.ready()
	return s
}

// launch runs the binary and does not wait for it.
func launch(t testing.TB, driver, source string, args ...string) *server {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, port: port, driver: driver, source: source}
	s.args = append([]string{"-a", "127.0.0.1", "-p", strconv.Itoa(port), "-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)
	t.Cleanup(func() {
		s.stop()
		if found, _ := s.log.contains("WARNING: DATA RACE"); found {
			t.Error("the race detector of the server reported a race")
		}
		if t.Failed() {
			t.Logf("log of the server on %s:\n%s", driver, s.log)
		}
	})
	s.launch()
	return s
}

func (s *server) launch() {
	s.t.Helper()
	s.log = &logLines{changed: make(chan struct{})}
	cmd := exec.Command(cmp.Or(s.binary, binary), s.args...)
	cmd.Stderr, cmd.Dir = s.log, s.dir
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0") // or each server sleeps a second at its end
	p, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		s.t.Fatal(err)
	}
	s.process = p
}

// ready waits until the server serves clients.
func (s *server) ready() {
	s.t.Helper()
	s.waitLog("Streaming Server is ready")
}

// waitLog waits for a line of the log that contains text.
func (s *server) waitLog(text string) {
	s.t.Helper()
	deadline := time.After(patience)
	for {
		found, changed := s.log.contains(text)
		if found {
			return
		}
		select {
		case <-changed:
		case <-s.process.Done():
			if found, _ := s.log.contains(text); !found {
				s.t.Fatalf("server ended before it logged %q:\n%s", text, s.log)
			}
		case <-deadline:
			s.t.Fatalf("server did not log %q within %v:\n%s", text, patience, s.log)
		}
	}
}

// signal sends a signal and waits for the process to end.
func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.process.Signal(sig)
	select {
	case <-s.process.Done():
	case <-time.After(patience):
		s.process.Signal(syscall.SIGKILL)
		s.t.Errorf("server did not end within %v of %v", patience, sig)
		<-s.process.Done()
	}
}

func (s *server) stop() { s.signal(syscall.SIGINT) }
func (s *server) kill() { s.signal(syscall.SIGKILL) }

// restart starts the same server again on its port.
func (s *server) restart() {
	s.t.Helper()
	s.launch()
	s.ready()
}

func (s *server) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

// connect connects a client, which is closed when the test ends.
func (s *server) connect(id string, opts ...stan.Option) stan.Conn {
	s.t.Helper()
	opts = append([]stan.Option{stan.NatsURL(s.url()), stan.ConnectWait(patience), stan.PubAckWait(patience)}, opts...)
	sc, err := stan.Connect("test-cluster", id, opts...)
	if err != nil {
		s.t.Fatalf("connect %s: %v", id, err)
	}
	s.t.Cleanup(func() { _ = sc.Close() })
	return sc
}

// logLines collects the lines of a log.
type logLines struct {
	mu      sync.Mutex // guards what follows
	buf     bytes.Buffer
	changed chan struct{} // closed when something is written
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(b), nil
}

func (l *logLines) contains(text string) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text), l.changed
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
