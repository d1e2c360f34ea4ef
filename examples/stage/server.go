// Package stage is the common code of the example order systems. It runs a server in a temporary directory and on free ports,
// runs the services, and prints the story that they tell.
package stage

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Server is a running nats-streaming-server.
type Server struct {
	NATS string // where NATS and NATS Streaming clients connect
	API  string // where clients of the API connect
	Dir  string // holds its data; Stop removes it

	readModels []*sql.DB

	process *exec.Cmd
	logged  chan error // receives one value at the end of the log
}

// startTimeout is how long Serve waits for the server to start.
const startTimeout = time.Minute

var (
	natsLine = regexp.MustCompile(`Listening for client connections on (\S+)`)
	apiLine  = regexp.MustCompile(`API listens on (\S+)`)
)

// Serve starts a server on SQLite with the text as its configuration file, and waits until it is ready. If binary is empty,
// Serve builds the server of this module.
func Serve(ctx context.Context, binary, configuration string, args ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "order-system")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, logged: make(chan error, 1)}
	if err := s.start(ctx, binary, configuration, args); err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), s.Stop())
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, binary, configuration string, args []string) error {
	if binary == "" {
		binary = filepath.Join(s.Dir, "nats-streaming-server")
		build := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
	}
	file := filepath.Join(s.Dir, "server.conf")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		return err
	}
	process := exec.Command(binary, append([]string{
		"-c", file, "-a", "127.0.0.1", "-p", "-1", "-grpc_host", "127.0.0.1", "-grpc_port", "-1", "-store", "FILE", "-dir", filepath.Join(s.Dir, "data"),
	}, args...)...)
	log, err := process.StderrPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	s.process = process
	ready := make(chan struct{})
	var lines strings.Builder
	go func() { s.logged <- s.follow(log, &lines, ready) }()
	select {
	case <-ready:
		return nil
	case err := <-s.logged:
		s.logged <- nil // Stop receives it
		return errors.Join(fmt.Errorf("the server exited:\n%s", lines.String()), err)
	case <-time.After(startTimeout):
		return fmt.Errorf("the server is not ready after %v", startTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// follow reads the log to its end. It closes ready when the server is ready.
func (s *Server) follow(log io.Reader, lines *strings.Builder, ready chan<- struct{}) error {
	started := false
	scanner := bufio.NewScanner(log)
	for scanner.Scan() {
		if started {
			continue
		}
		line := scanner.Text()
		fmt.Fprintln(lines, line)
		if found := natsLine.FindStringSubmatch(line); found != nil {
			s.NATS = "nats://" + found[1]
		}
		if found := apiLine.FindStringSubmatch(line); found != nil {
			s.API = found[1]
		}
		if strings.Contains(line, "Streaming Server is ready") {
			started = true
			close(ready)
		}
	}
	return scanner.Err()
}

// Stop stops the server and removes its directory.
func (s *Server) Stop() error {
	var err error
	for _, db := range s.readModels {
		err = errors.Join(err, db.Close())
	}
	if s.process != nil {
		err = errors.Join(err, s.process.Process.Signal(os.Interrupt), <-s.logged, s.process.Wait())
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}
