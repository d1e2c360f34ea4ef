package launch

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build builds a package of this repository's server, or of a module that it requires, into a file. The package has the
// form that go build takes in the root of the repository.
func Build(ctx context.Context, file, pkg string) error {
	root, err := Output(ctx, "", nil, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-eventstore/nats-eventstore")
	if err != nil {
		return err
	}
	_, err = Output(ctx, strings.TrimSpace(root), []string{"CGO_ENABLED=0"},
		"go", "build", "-trimpath", "-buildvcs=false", "-o", file, pkg)
	return err
}

// Server returns the path of our server: the one that make test has built for all packages, or one that it builds in a
// directory.
func Server(ctx context.Context, dir string) (string, error) {
	if built := os.Getenv("TEST_BINARIES"); built != "" {
		return filepath.Join(built, "plain", "nats-streaming-server"), nil
	}
	file := filepath.Join(dir, "nats-streaming-server")
	return file, Build(ctx, file, "./cmd/nats-streaming-server")
}

// Output runs a command in a directory with additions to our environment, and returns what it writes.
func Output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, stderr.String())
	}
	return string(b), nil
}
