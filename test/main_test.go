// Package test looks at the product from outside: the built binary, official clients, real databases. Each of
// the promises of docs/architecture.md has a test named after it.
package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// binary is the server under test, built once with the race detector.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "nats-streaming-server")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "nats-streaming-server")
	build := exec.Command("go", "build", "-race", "-o", binary, "../cmd/nats-streaming-server")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := databases.Run(m)
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}
