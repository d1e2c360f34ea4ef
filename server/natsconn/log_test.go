package natsconn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// hostile is a name that a client could choose.
const hostile = "a\n[1] [INF] STREAM: forged\r\x1b[2J\u009b\u202e\u2028\xff client=admin"

// logEverything logs hostile names at all levels, as the NATS server does and as our part does, and ends the process as
// Fatalf does.
func logEverything(o *natsd.Options) {
	natsLog, log := NewLoggers(o, true, true, "")
	for _, f := range []func(string, ...any){natsLog.Noticef, natsLog.Warnf, natsLog.Errorf, natsLog.Debugf, natsLog.Tracef} {
		f("NATS: "+hostile+" %s %v %d", hostile, errors.New(hostile), 7)
	}
	with := log.With("with", hostile).WithGroup("group")
	for _, level := range []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelDebug, LevelTrace} {
		with.Log(context.Background(), level, "ours: "+hostile, "name", hostile, "error", errors.New(hostile))
	}
	natsLog.Fatalf("NATS: %s", hostile)
}

const sinkVariable = "NATSCONN_TEST_LOG_FILE"

// Whatever names a line holds, at any level and in any sink: it is one line, and has nothing that a terminal obeys.
func TestHostileNamesInLog(t *testing.T) {
	if file, child := os.LookupEnv(sinkVariable); child {
		logEverything(&natsd.Options{LogFile: file, Logtime: true, Debug: true, Trace: true})
	}
	t.Parallel()
	for sink, file := range map[string]string{"stderr": "", "file": filepath.Join(t.TempDir(), "server.log")} {
		t.Run(sink, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestHostileNamesInLog$")
			cmd.Env = append(os.Environ(), sinkVariable+"="+file)
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
			checkLog(t, text)
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
