package client

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// A DSN that is wrong is an error that does not show its password. It is not taken for the name of a file of SQLite.
func TestToolWrongDSN(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, err := filepath.Abs("../../examples/projections/orders-sqlite.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for dsn, want := range map[string]string{
		"postgres://u:secret#1@127.0.0.1:1/db":                                       "malformed",
		"postgres://u:secret@127.0.0.1:abc/db":                                       "malformed",
		"postgres://u:secret%1@127.0.0.1:1/db":                                       "malformed",
		"postgres://u:secret@127.0.0.1:1/db?sslmode=disable":                         "connect",
		"u:secret@tcp(127.0.0.1:1)/db":                                               "connect",
		"u:secret@(127.0.0.1:1)/db":                                                  "which database",
		"mysql://u:secret@127.0.0.1/db":                                              "which database",
		"host=127.0.0.1 port=1 user=u password=secret dbname=orders sslmode=disable": "connect",
	} {
		cmd := exec.CommandContext(patient(t), harness.Tool(t), "project", "-f", file, "--check", "--into", dsn)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GORACE=atexit_sleep_ms=0")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		if text := out.String(); err == nil || cmd.ProcessState.ExitCode() == 0 || !strings.Contains(text, want) || strings.Contains(text, "secret") {
			t.Errorf("%s: %v, it says %s", dsn, err, text)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind, %v", left, err)
	}
}
