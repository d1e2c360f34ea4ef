// Package upstream builds NATS Streaming, the predecessor of this server, for comparisons.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Module and Version name the release to compare with.
const (
	Module  = "github.com/nats-io/nats-streaming-server"
	Version = "v0.25.6"
)

// Build returns the path of the binary. It is built once per machine, with the dependencies of its own release. Several
// processes may call Build at the same time.
func Build(ctx context.Context) (file string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", Module, err)
	}
	dir := filepath.Join(cache, "nats-eventstore-bench", Version)
	file = filepath.Join(dir, "nats-streaming-server")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("build %s: %w", Module, err)
	}
	// Never run a partly written binary: build it beside its final path, then rename it.
	building, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", Module, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(building)) }()
	cmd := exec.CommandContext(ctx, "go", "install", Module+"@"+Version)
	cmd.Dir = building
	cmd.Env = append(os.Environ(), "GOBIN="+building, "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", Module, err, out)
	}
	if err := os.Rename(filepath.Join(building, filepath.Base(file)), file); err != nil {
		return "", fmt.Errorf("build %s: %w", Module, err)
	}
	return file, nil
}
