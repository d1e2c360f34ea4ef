package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// The log lines that other programs look for exist, in NATS' format.
func TestLogLines(t *testing.T) {
	t.Parallel()
	source := databases.SQLite(t)
	s := start(t, "sqlite", source, "-SD")
	publish(t, s.connect("client"), "foo", []byte("x"))
	s.WaitLog(t, `Channel "foo" has been created`)
	s.WaitLog(t, "[Client:client] Connected (Inbox=")
	s.WaitLog(t, "No recovered state")
	first := s.Log.String()
	s.Stop()
	s.WaitLog(t, "Shutting down.")
	s.Restart()
	s.WaitLog(t, "Recovered 1 channel(s)")
	line := regexp.MustCompile(`^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[(INF|DBG|TRC|WRN|ERR|FTL)\] .`)
	for l := range strings.Lines(first) {
		if !line.MatchString(l) {
			t.Errorf("line not in NATS' format: %s", l)
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
	standby.WaitLog(t, "Starting in standby mode")
	s.Stop()
	standby.WaitLog(t, "Server is active")
	standby.Ready()
}

func TestLogWithoutTime(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t), "-T=false")
	if want := fmt.Sprintf("[%d] [INF] STREAM: Streaming Server is ready\n", s.Process.PID()); !strings.Contains(s.Log.String(), want) {
		t.Errorf("no line %q in\n%s", want, s.Log)
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

// SIGUSR1, which -sl sends, reopens the log file.
func TestReopenLog(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.log")
	s := prepare(t, harness.Binary(), "-st", "memory", "-l", file, "-SD")
	s.Launch()
	logFile(t, file, "Streaming Server is ready")
	signal := func(command string) {
		t.Helper()
		if out, status := runBinary(t, "-sl", fmt.Sprintf("%s=%d", command, s.Process.PID())); status != 0 {
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
	// A file that cannot be opened must not stop the server.
	if err := os.Rename(file, file+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	signal("reopen")
	logFile(t, file+".2", "reopen the log: open "+file)
	signal("reload")
	logFile(t, file+".2", "[INF] STREAM: Reloaded the access file")
	signal("quit")
	select {
	case <-s.Process.Done():
	case <-time.After(patience):
		t.Fatal("-sl quit did not end the server")
	}
	if got := s.Process.ExitCode(); got != 0 {
		t.Errorf("exit status %d after -sl quit", got)
	}
}

func TestReopenWithoutFile(t *testing.T) {
	t.Parallel()
	s := start(t, "sqlite", databases.SQLite(t))
	s.Process.Signal(syscall.SIGUSR1)
	s.WaitLog(t, "File log re-open ignored, not a file logger")
}

// A log file that reaches its limit continues in a new file.
func TestLogSizeLimit(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.log")
	s := prepare(t, harness.Binary(), "-st", "memory", "-l", file, "-log_size_limit", "1000")
	s.Launch()
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
	s := prepare(t, harness.Binary(), "-st", "memory", "-r", "udp://"+syslog.LocalAddr().String())
	s.Launch()
	if err := syslog.SetReadDeadline(start.Add(patience)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 64<<10); ; {
		n, _, err := syslog.ReadFrom(b)
		if err != nil {
			t.Fatalf("syslog did not receive the ready line: %v", err)
		}
		if strings.Contains(string(b[:n]), "STREAM: Streaming Server is ready") {
			return
		}
	}
}
