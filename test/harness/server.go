// Package harness runs servers, ours and the reference, for tests that observe them from outside.
package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// Patience bounds every wait. A passing test never waits that long.
const Patience = 90 * time.Second

// Server is a server on its own port, which it keeps across restarts. Changes to the exported fields take effect at the
// next launch.
type Server struct {
	Binary string
	Args   []string
	Env    []string // added to the environment of the test
	Dir    string   // working directory
	Port   int

	t testing.TB

	Process *process.Process
	Log     *Log
}

// Start runs our binary on a database, waits until it is ready, and stops it when the test ends.
func Start(t testing.TB, driver, source string, args ...string) *Server {
	t.Helper()
	s := New(t, BinaryOn(t, driver), append([]string{"-store", "SQL", "-sql_driver", driver, "-sql_source", source}, args...)...)
	s.Launch()
	s.Ready()
	return s
}

// New returns a server that is not started yet. It has a free loopback port and an empty working directory, and is
// stopped when the test ends.
func New(t testing.TB, binary string, args ...string) *Server {
	t.Helper()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, Binary: binary, Dir: t.TempDir(), Port: port}
	s.Args = append([]string{"-a", "127.0.0.1", "-p", strconv.Itoa(port)}, args...)
	t.Cleanup(func() {
		if s.Process == nil {
			return
		}
		s.Stop()
		if s.Log.Contains("WARNING: DATA RACE") {
			t.Error("the server's race detector reported a race")
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", strings.Join(s.Args, " "), s.Log)
		}
	})
	return s
}

// Launch starts the binary without waiting.
func (s *Server) Launch() {
	s.t.Helper()
	s.Log = NewLog()
	cmd := exec.Command(s.Binary, s.Args...)
	cmd.Stderr, cmd.Dir = s.Log, s.Dir
	// The race detector makes each process sleep for a second at exit by default.
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), s.Env...)
	p, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Process = p
}

// Ready waits until the server serves clients.
func (s *Server) Ready() {
	s.t.Helper()
	s.WaitLog(s.t, "Streaming Server is ready")
}

// WaitLog waits until the log contains the text.
func (s *Server) WaitLog(t testing.TB, text string) {
	t.Helper()
	deadline := time.After(Patience)
	for {
		found, changed := s.Log.Find(text)
		if found {
			return
		}
		select {
		case <-changed:
		case <-s.Process.Done():
			if found, _ := s.Log.Find(text); !found {
				t.Fatalf("the server ended before it logged %q:\n%s", text, s.Log)
			}
			return
		case <-deadline:
			t.Fatalf("the server did not log %q within %v:\n%s", text, Patience, s.Log)
		}
	}
}

// Signal sends a signal and waits for the process to end.
func (s *Server) Signal(sig syscall.Signal) {
	s.t.Helper()
	s.Process.Signal(sig)
	select {
	case <-s.Process.Done():
	case <-time.After(Patience):
		s.Process.Signal(syscall.SIGKILL)
		s.t.Errorf("the server did not end within %v of %v", Patience, sig)
		<-s.Process.Done()
	}
}

// Stop stops the server as an operator does.
func (s *Server) Stop() { s.Signal(syscall.SIGINT) }

// Kill ends the server like a crash.
func (s *Server) Kill() { s.Signal(syscall.SIGKILL) }

// Restart starts the server again on its port.
func (s *Server) Restart() {
	s.t.Helper()
	s.Launch()
	s.Ready()
}

// URL returns the server's NATS URL.
func (s *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.Port) }

// Log collects a server's output.
type Log struct {
	mu      sync.Mutex // guards the fields below
	buf     bytes.Buffer
	changed chan struct{} // closed on each write
}

// NewLog returns an empty log.
func NewLog() *Log { return &Log{changed: make(chan struct{})} }

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	close(l.changed)
	l.changed = make(chan struct{})
	return len(b), nil
}

// Find reports whether the log contains the text, and returns a channel that is closed at the next write.
func (l *Log) Find(text string) (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.buf.String(), text), l.changed
}

// Contains reports whether the log contains the text.
func (l *Log) Contains(text string) bool {
	found, _ := l.Find(text)
	return found
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
