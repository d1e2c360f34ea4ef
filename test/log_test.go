package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// What others look for in the log is there, in NATS' format.
func TestLogLines(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	s := start(t, "sqlite", source, "-SD")
	publish(t, s.connect("client"), "foo", []byte("x"))
	s.waitLog(`Channel "foo" has been created`)
	s.waitLog("[Client:client] Connected (Inbox=")
	s.waitLog("No recovered state")
	first := s.log.String()
	s.stop()
	s.waitLog("Shutting down.")
	s.restart()
	s.waitLog("Recovered 1 channel(s)")
	line := regexp.MustCompile(`^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[(INF|DBG|TRC|WRN|ERR|FTL)\] .`)
	for l := range strings.Lines(first) {
		if !line.MatchString(l) {
			t.Errorf("not in NATS' format: %s", l)
		}
	}
	for _, want := range []string{
		"STREAM: Starting nats-streaming-server[test-cluster] version ",
		"STREAM: ServerID: ",
		"STREAM: Go version: go",
		"STREAM: Recovering the state...\n",
		"STREAM: No recovered state\n",
		"STREAM: Message store is SQL\n",
		"STREAM: ---------- Store Limits ----------\n",
		"STREAM: Streaming Server is ready\n",
	} {
		if !strings.Contains(first, want) {
			t.Errorf("the log has no %q:\n%s", want, first)
		}
	}
	// A second server waits.
	standby := launch(t, "sqlite", source)
	standby.waitLog("Starting in standby mode")
	s.stop()
	standby.waitLog("Server is active")
	standby.ready()
}

func TestLogWithoutTime(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-T=false")
	if want := fmt.Sprintf("[%d] [INF] STREAM: Streaming Server is ready\n", s.process.PID()); !strings.Contains(s.log.String(), want) {
		t.Errorf("no line %q in\n%s", want, s.log)
	}
}

// logFile waits for a text in a log file.
func logFile(t *testing.T, file, text string) {
	t.Helper()
	eventually(t, func() bool {
		b, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(b), text)
	})
}

// SIGUSR1, sent by -sl, opens the log file again.
func TestReopenLog(t *testing.T) {
	t.Parallel()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, port: port, dir: t.TempDir()}
	file := filepath.Join(s.dir, "server.log")
	s.args = []string{"-a", "127.0.0.1", "-p", strconv.Itoa(port), "-st", "memory", "-l", file, "-SD"}
	s.launch()
	t.Cleanup(s.stop)
	logFile(t, file, "Streaming Server is ready")
	signal := func(command string) {
		t.Helper()
		if out, status := runBinary(t, "-sl", fmt.Sprintf("%s=%d", command, s.process.PID())); status != 0 {
			t.Fatalf("-sl %s: status %d, output %s", command, status, out)
		}
	}
	for i := range 2 {
		old := fmt.Sprintf("%s.%d", file, i)
		if err := os.Rename(file, old); err != nil {
			t.Fatal(err)
		}
		signal("reopen")
		logFile(t, file, "[INF] STREAM: File log re-opened")
		id := fmt.Sprintf("client-%d", i)
		s.connect(id)
		logFile(t, file, "[Client:"+id+"] Connected")
		if b, err := os.ReadFile(old); err != nil || strings.Contains(string(b), id) {
			t.Errorf("the old file was written to: %s %v", b, err)
		}
	}
	// A file that cannot be opened must not end the server.
	if err := os.Rename(file, file+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	signal("reopen")
	logFile(t, file+".2", "reopen the log: open "+file)
	signal("reload")
	logFile(t, file+".2", "[ERR] STREAM: Reload: can only reload a configuration file")
	signal("quit")
	select {
	case <-s.process.Done():
	case <-time.After(patience):
		t.Fatal("-sl quit did not end the server")
	}
	if got := s.process.ExitCode(); got != 0 {
		t.Errorf("exit status %d after -sl quit", got)
	}
}

func TestReopenWithoutFile(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.process.Signal(syscall.SIGUSR1)
	s.waitLog("File log re-open ignored, not a file logger")
}

// A log file that reaches its limit is continued in another one.
func TestLogSizeLimit(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.log")
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, port: port, args: []string{"-a", "127.0.0.1", "-p", strconv.Itoa(port), "-st", "memory", "-l", file, "-log_size_limit", "1000"}}
	s.launch()
	t.Cleanup(s.stop)
	eventually(t, func() bool {
		files, err := filepath.Glob(file + ".*")
		return err == nil && len(files) > 0
	})
}

func TestRemoteSyslog(t *testing.T) {
	t.Parallel()
	syslog, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syslog.Close() }()
	start := time.Now()
	port, err := databases.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, port: port, args: []string{"-a", "127.0.0.1", "-p", strconv.Itoa(port), "-st", "memory", "-r", "udp://" + syslog.LocalAddr().String()}}
	s.launch()
	t.Cleanup(s.stop)
	if err := syslog.SetReadDeadline(start.Add(patience)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 64<<10); ; {
		n, _, err := syslog.ReadFrom(b)
		if err != nil {
			t.Fatalf("syslog got no line that the server is ready: %v", err)
		}
		if strings.Contains(string(b[:n]), "STREAM: Streaming Server is ready") {
			return
		}
	}
}
