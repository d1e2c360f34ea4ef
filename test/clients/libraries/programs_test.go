package libraries

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// missing skips a test that lacks a library. In CI, the test fails instead.
func missing(t *testing.T, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "" {
		t.Skipf("%s is missing, test/clients/install installs it: %v", what, err)
	}
	t.Fatalf("%s is missing: %v", what, err)
}

// node runs node-nats-streaming. See client.js for the argument.
func node(connection string) connector {
	return runs(func(t *testing.T) *exec.Cmd {
		t.Helper()
		if _, err := os.Stat("../node/node_modules/node-nats-streaming"); err != nil {
			missing(t, "node-nats-streaming", err)
		}
		program, err := exec.LookPath("node")
		if err != nil {
			missing(t, "node", err)
		}
		return exec.Command(program, "../node/client.js", connection)
	})
}

// nativeC compiles the program that uses nats.c, and returns how to run it.
func nativeC(t *testing.T) connector {
	t.Helper()
	program := filepath.Join(t.TempDir(), "client")
	out, err := exec.Command("cc", "-Wall", "-Wextra", "-Werror", "-o", program, "../c/client.c", "-lnats", "-lpthread").CombinedOutput()
	return runs(func(t *testing.T) *exec.Cmd {
		t.Helper()
		if err != nil {
			missing(t, "libnats-dev", fmt.Errorf("%w\n%s", err, out))
		}
		return exec.Command(program)
	})
}
