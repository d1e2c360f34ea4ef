package natsconn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// hostile is a name that a client could choose.
const hostile = "a\n[1] [INF] STREAM: forged\r\x1b[2J\u009b\u202e\u2028\xff client=admin"

// logEverything logs hostile names at all levels, as the NATS server does and as our part does, and ends the process as
// Fatalf does.
func logEverything(o *natsd.Options, format string) {
	natsLog, log := NewLoggers(o, LogOptions{Debug: true, Trace: true, JSON: format == "json"})
	for _, f := range []func(string, ...any){natsLog.Noticef, natsLog.Warnf, natsLog.Errorf, natsLog.Debugf, natsLog.Tracef} {
		f("NATS: "+hostile+" %s %v %d", hostile, errors.New(hostile), 7)
	}
	with := log.With("with", hostile).WithGroup("group")
	for _, level := range []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug, LevelTrace} {
		with.Log(context.Background(), level, "ours: "+hostile, "name", hostile, "error", errors.New(hostile))
	}
	natsLog.Fatalf("NATS: %s", hostile)
}

const (
	sinkVariable   = "NATSCONN_TEST_LOG_FILE"
	formatVariable = "NATSCONN_TEST_LOG_FORMAT"
)

// Whatever names a line holds, at any level and in any sink: it is one line, and has nothing that a terminal obeys.
func TestHostileNamesInLog(t *testing.T) {
	if file, child := os.LookupEnv(sinkVariable); child {
		logEverything(&natsd.Options{LogFile: file, Logtime: true, Debug: true, Trace: true}, os.Getenv(formatVariable))
	}
	t.Parallel()
	for _, sink := range []string{"stderr", "file", "stderr json", "file json"} {
		file, format := "", "text"
		if strings.HasPrefix(sink, "file") {
			file = filepath.Join(t.TempDir(), "server.log")
		}
		check := checkLog
		if strings.HasSuffix(sink, "json") {
			format, check = "json", checkJSON
		}
		t.Run(sink, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestHostileNamesInLog$")
			cmd.Env = append(os.Environ(), sinkVariable+"="+file, formatVariable+"="+format)
			var stderr strings.Builder
			cmd.Stderr = &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) {
				t.Fatalf("the process did not end as Fatalf does: %v", err)
			}
			text := stderr.String()
			if file != "" {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				text = string(b)
			}
			check(t, text)
		})
	}
}

func checkLog(t *testing.T, text string) {
	t.Helper()
	begin := regexp.MustCompile(`^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[([A-Z]{3})\] (NATS|STREAM): .*forged`)
	seen := make(map[string]int)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		found := begin.FindStringSubmatch(line)
		if found == nil {
			t.Errorf("a line of its own: %q", line)
			continue
		}
		seen[found[1]+" "+found[2]]++
		for _, r := range line {
			if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
				t.Errorf("%U in %q", r, line)
			}
		}
		if found[2] == "STREAM" && !strings.Contains(line, fmt.Sprintf(" with=%q name=%q error=%q", hostile, hostile, hostile)) {
			t.Errorf("attributes are not quoted: %s", line)
		}
	}
	for _, want := range []string{
		"INF NATS", "WRN NATS", "ERR NATS", "DBG NATS", "TRC NATS", "FTL NATS",
		"INF STREAM", "WRN STREAM", "ERR STREAM", "DBG STREAM", "TRC STREAM",
	} {
		if seen[want] != 1 {
			t.Errorf("%d lines of %s, want 1, in\n%s", seen[want], want, text)
		}
	}
}

// printed is what a decoder reads of a hostile name: JSON has no bytes that are not UTF-8.
var printed = strings.ToValidUTF8(hostile, "\ufffd")

func checkJSON(t *testing.T, text string) {
	t.Helper()
	seen := make(map[string]int)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		for _, r := range line {
			if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
				t.Errorf("%U in %q", r, line)
			}
		}
		var got struct {
			Time                  time.Time
			Level, Msg, Component string
			With, Name, Error     string
		}
		decoder := json.NewDecoder(strings.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&got); err != nil || got.Time.IsZero() {
			t.Errorf("%v in %s", err, line)
			continue
		}
		seen[got.Level+" "+got.Component]++
		if !strings.Contains(got.Msg, printed) {
			t.Errorf("text %q", got.Msg)
		}
		if got.Component == "streaming" && (got.With != printed || got.Name != printed || got.Error != printed) {
			t.Errorf("attributes %+v", got)
		}
	}
	for _, want := range []string{
		"INFO nats", "WARN nats", "ERROR nats", "DEBUG nats", "TRACE nats", "FATAL nats",
		"INFO streaming", "WARN streaming", "ERROR streaming", "DEBUG streaming", "TRACE streaming",
	} {
		if seen[want] != 1 {
			t.Errorf("%d lines of %s, want 1, in\n%s", seen[want], want, text)
		}
	}
}
