package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// binary is the server under test.
var binary string

// Binary is the path of the server under test, built with the race detector.
func Binary() string { return binary }

// Main is the TestMain of a package that starts servers: it builds ours, runs the tests, and stops the databases that they
// used.
func Main(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "nats-streaming-server")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	if binary, err = build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return databases.Run(m)
}

func build(dir string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	file := filepath.Join(dir, "nats-streaming-server")
	args := []string{"build", "-race"}
	if os.Getenv("GOCOVERDIR") != "" { // where it writes what it reached: make cover
		args = append(args, "-cover")
	}
	cmd := exec.Command("go", append(args, "-o", file, "./cmd/nats-streaming-server")...)
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return file, nil
}
