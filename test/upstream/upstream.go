// Package upstream builds NATS Streaming, the server that this one continues, for comparisons.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Module and Version are the release that comparisons are made with.
const (
	Module  = "github.com/nats-io/nats-streaming-server"
	Version = "v0.25.6"
)

// Build returns the path of its binary. It is built once per machine, with the dependencies of its own
// release, not with ours. Several processes may build it at the same time.
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
	// A binary that is being written must not be run: it is written beside its place and moved there.
	building, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return "", fmt.Errorf("build %s: %w", Module, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(building)) }()
	cmd := exec.CommandContext(ctx, "go", "install", Module+"@"+Version)
	cmd.Dir = building
	cmd.Env = append(os.Environ(), "GOBIN="+building, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", Module, err, out)
	}
	if err := os.Rename(filepath.Join(building, filepath.Base(file)), file); err != nil {
		return "", fmt.Errorf("build %s: %w", Module, err)
	}
	return file, nil
}
