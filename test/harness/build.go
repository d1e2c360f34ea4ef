package harness

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

var (
	given     = flag.String("server", "", "test this server instead of building one")
	directory string // of the built binaries
	binary    string // the server under test
	unwatched bool   // Binary and Tool are built without the race detector
)

// Binary returns the path of the server under test, built with the race detector unless MainPlain runs.
func Binary() string { return binary }

// BinaryOn returns the path of the server under test for a database. It is built with the race detector on SQLite alone: what differs on
// the other databases is watched by the tests of the stores, and the servers of the chaos run are watched on each.
func BinaryOn(t testing.TB, driver string) string {
	t.Helper()
	if driver == "sqlite" {
		return Binary()
	}
	return Plain(t)
}

// Plain returns the path of a server built without the race detector, for tests that measure.
func Plain(t testing.TB) string {
	t.Helper()
	file, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var plain = sync.OnceValues(func() (string, error) {
	if *given != "" {
		return *given, nil
	}
	return build("nats-streaming-server", false)
})

// Tool returns the path of the tool eventstore, built with the race detector unless MainPlain runs.
func Tool(t testing.TB) string {
	t.Helper()
	file, err := tool()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var tool = sync.OnceValues(func() (string, error) { return build("eventstore", !unwatched) })

// Main is the TestMain of packages that start servers. It builds ours, runs the tests, and stops the databases that they
// started. Before it exits, it calls what else is to be stopped.
func Main(m *testing.M, stop ...func()) {
	flag.Parse()
	code := run(m)
	for _, f := range stop {
		f()
	}
	os.Exit(code)
}

// MainPlain is Main with programs built without the race detector, which makes the server several times slower. It is for packages that
// test a client, a page or a tool rather than what the server does at once; the others watch the server.
func MainPlain(m *testing.M, stop ...func()) {
	unwatched = true
	Main(m, stop...)
}

func run(m *testing.M) int {
	var err error
	if directory, err = os.MkdirTemp("", "nats-streaming-server"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := os.RemoveAll(directory); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	if binary = *given; binary == "" {
		if binary, err = build("nats-streaming-server", !unwatched); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return databases.Run(m)
}

// build returns the path of a command. make test has built it once for all packages.
func build(command string, watched bool) (string, error) {
	folder, flags := "plain", []string{"build"}
	if watched {
		folder, flags = "race", append(flags, "-race")
	}
	if built := os.Getenv("TEST_BINARIES"); built != "" {
		return filepath.Join(built, folder, command), nil
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-eventstore/nats-eventstore").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	if os.Getenv("GOCOVERDIR") != "" { // make cover: the server writes its coverage there
		flags = append(flags, "-cover")
	}
	file := filepath.Join(directory, folder, command)
	cmd := exec.Command("go", append(flags, "-o", file, "./cmd/"+command)...)
	cmd.Dir = strings.TrimSpace(string(root))
	if watched {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return file, nil
}
