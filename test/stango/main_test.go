// Package stango runs the unmodified test suite of stan.go, the official Go client, against the built binary.
package stango

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	standin "github.com/nats-eventstore/nats-eventstore/test/stango/standin"
)

// suite is the compiled test suite of stan.go, built with the race detector as upstream runs it. binary is the server
// without it, because the suite expects thousands of messages within seconds.
var suite, binary string

func TestMain(m *testing.M) {
	if program := os.Getenv(programVariable); program != "" {
		fmt.Fprintln(os.Stderr, runInside(program))
		os.Exit(1)
	}
	code := 1
	dir, err := os.MkdirTemp("", "stango")
	if err == nil {
		if err = build(dir); err == nil {
			code = m.Run()
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// build builds the server, and the suite as a package of our module with our dependency versions. Only the module of the
// reference server is replaced with our stand-in.
func build(dir string) error {
	root, err := output("", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-eventstore/nats-eventstore")
	if err != nil {
		return err
	}
	binary, suite = filepath.Join(dir, "nats-streaming-server"), filepath.Join(dir, "stan.test")
	if _, err := output(root, "go", "build", "-trimpath", "-o", binary, "./cmd/nats-streaming-server"); err != nil {
		return err
	}
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	module := filepath.Join(dir, "standin")
	replace := fmt.Sprintf("\nreplace github.com/nats-io/nats-streaming-server => %q\n", module)
	for _, ours := range []string{"client", "client/streaming", "proto"} {
		replace += fmt.Sprintf("replace github.com/nats-eventstore/nats-eventstore/%s => %q\n", ours, filepath.Join(root, ours))
	}
	if err := os.MkdirAll(filepath.Join(module, "server"), 0o750); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		filepath.Join(dir, "go.mod"):    append(gomod, replace...),
		filepath.Join(module, "go.mod"): []byte("module github.com/nats-io/nats-streaming-server\n"),
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{
		filepath.Join(root, "go.sum"):                                 filepath.Join(dir, "go.sum"),
		filepath.Join(root, "test", "stango", "standin", "server.go"): filepath.Join(module, "server", "server.go"),
	} {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			return err
		}
	}
	_, err = output(root, "env", "GOWORK=off", "CGO_ENABLED=1", "go", "test", "-c", "-race", "-modfile", filepath.Join(dir, "go.mod"), "-o", suite, "github.com/nats-io/stan.go")
	return err
}

// environment returns the suite's environment.
func environment() []string {
	return append(os.Environ(),
		standin.BinaryVariable+"="+binary,
		// If this is set, the suite compares its version with its release.
		"TRAVIS_TAG=v"+stanVersion)
}

// output runs a command in dir and returns its output.
func output(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}
