package test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// jsonLine is a line of -log_format json.
type jsonLine struct {
	Time      time.Time
	Level     string
	Msg       string
	Component string
	Operation string // an attribute of refusals
	Reason    string
}

// jsonLines decodes lines, each of which must be one object.
func jsonLines(t *testing.T, text string) (lines []jsonLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var l jsonLine
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Time.IsZero() || l.Level == "" || l.Component == "" {
			t.Errorf("%v in %s", err, line)
		}
		lines = append(lines, l)
	}
	return lines
}

func hasLine(lines []jsonLine, want jsonLine) bool {
	for _, l := range lines {
		l.Time = time.Time{}
		if l == want {
			return true
		}
	}
	return false
}

// With -log_format json every line is a JSON object: of both parts, on stderr, in a file that is reopened, and in syslog.
func TestLogJSON(t *testing.T) {
	t.Parallel()
	ready := jsonLine{Level: "INFO", Msg: "Streaming Server is ready", Component: "streaming"}
	t.Run("stderr", func(t *testing.T) {
		t.Parallel()
		s := prepare(t, harness.Binary(), "-st", "memory", "-log_format", "json", "-DV", "-SDV")
		s.Launch()
		s.Ready()
		if err := s.connect("shop").Publish("eventstore.orders", []byte("no event")); err == nil {
			t.Fatal("accepted")
		}
		s.WaitLog(t, "Request refused")
		s.Stop()
		lines := jsonLines(t, s.Log.String())
		for _, want := range []jsonLine{
			ready,
			{Level: "INFO", Msg: "Server is ready", Component: "nats"},
			{Level: "WARN", Msg: "Request refused", Component: "streaming", Operation: "publish", Reason: "invalid_event"},
		} {
			if !hasLine(lines, want) {
				t.Errorf("no line %+v in\n%s", want, s.Log)
			}
		}
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		file, conf := filepath.Join(dir, "server.log"), filepath.Join(dir, "server.conf")
		if err := os.WriteFile(conf, []byte("log_file: \""+file+"\"\nstreaming { store: memory, log_format: json }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s := prepare(t, harness.Binary(), "-c", conf)
		s.Launch()
		logFile(t, file, ready.Msg)
		if err := os.Rename(file, file+".0"); err != nil {
			t.Fatal(err)
		}
		s.Process.Signal(syscall.SIGUSR1)
		logFile(t, file, "File log re-opened")
		s.Process.Signal(syscall.SIGHUP)
		logFile(t, file, "Reloaded the access file")
		s.Stop()
		for _, name := range []string{file, file + ".0"} {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if lines := jsonLines(t, string(text)); hasLine(lines, ready) != (name != file) {
				t.Errorf("%s holds\n%s", name, text)
			}
		}
	})
	t.Run("syslog", func(t *testing.T) {
		t.Parallel()
		syslog, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syslog.Close() }()
		if err := syslog.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		s := prepare(t, harness.Binary(), "-st", "memory", "-log_format", "json", "-r", "udp://"+syslog.LocalAddr().String())
		s.Launch()
		for b := make([]byte, 64<<10); ; {
			n, _, err := syslog.ReadFrom(b)
			if err != nil {
				t.Fatalf("syslog did not receive the ready line: %v", err)
			}
			_, line, _ := strings.Cut(string(b[:n]), ": ")
			if hasLine(jsonLines(t, line), ready) {
				return
			}
		}
	})
}

func TestLogFormatErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-log_format", "xml"}, `"xml" must be text or json`},
		{[]string{"-log_format", "json", "-l", filepath.Join(t.TempDir(), "log"), "-log_size_limit", "1000"}, "rotate the file with logrotate"},
	} {
		if out, status := runBinary(t, c.args...); status != 1 || !strings.Contains(out, c.want) {
			t.Errorf("%q: status %d, output %q", c.args, status, out)
		}
	}
}
