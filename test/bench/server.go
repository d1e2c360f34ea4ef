package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/process"
)

const (
	cluster = "bench"

	readyLine    = "Streaming Server is ready"
	readyTimeout = time.Minute
	stopTimeout  = 20 * time.Second
)

// A program is a server that runs.
type program struct {
	*process.Process
	url string
	log *watcher
}

// stop ends the program cleanly, or kills it.
func (p *program) stop() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Done():
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("still runs %v after SIGTERM\n%s", stopTimeout, p.log.tail()), p.Kill())
	}
}

// serve starts a NATS Streaming server and returns when it says that it is ready. It ends with the setup.
func (s *setup) serve(ctx context.Context, name, binary string, args []string) (*program, error) {
	progress("start %s", name)
	return s.launch(ctx, name, readyLine, streamingCommand(binary, args))
}

// streamingCommand runs a NATS Streaming server on a port.
func streamingCommand(binary string, args []string) func(port string) *exec.Cmd {
	return func(port string) *exec.Cmd {
		return exec.Command(binary, append([]string{"-cid", cluster, "-a", "127.0.0.1", "-p", port}, args...)...)
	}
}

// launch starts a program that listens on a port and returns when it writes the line ready.
func (s *setup) launch(ctx context.Context, name, ready string, command func(port string) *exec.Cmd) (*program, error) {
	p, err := s.begin(ctx, name, ready, command)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error {
		if err := p.stop(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	return p, nil
}

// begin is launch of a program that the caller stops.
func (s *setup) begin(ctx context.Context, name, ready string, command func(port string) *exec.Cmd) (*program, error) {
	port, err := databases.FreePort()
	if err != nil {
		return nil, err
	}
	w := &watcher{text: ready, ready: make(chan struct{})}
	cmd := command(strconv.Itoa(port))
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = w, w
	started, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	p := &program{started, "nats://127.0.0.1:" + strconv.Itoa(port), w}
	select {
	case <-w.ready:
		return p, nil
	case <-p.Done():
		err = errors.New("ended before it was ready")
	case <-time.After(readyTimeout):
		err = fmt.Errorf("not ready after %v", readyTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(fmt.Errorf("%s: %w\n%s", name, err, w.tail()), p.Kill())
}

// watcher keeps the end of a server's log and waits for its ready line.
type watcher struct {
	text  string     // of the ready line
	mu    sync.Mutex // guards the rest
	log   []byte
	ready chan struct{} // closed at the ready line
	seen  bool
}

const tailBytes = 8 << 10

func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, b...)
	if !w.seen && bytes.Contains(w.log, []byte(w.text)) {
		w.seen = true
		close(w.ready)
	}
	if len(w.log) > 2*tailBytes {
		w.log = append(w.log[:0], w.log[len(w.log)-tailBytes:]...)
	}
	return len(b), nil
}

func (w *watcher) tail() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.log[max(0, len(w.log)-tailBytes):])
}
