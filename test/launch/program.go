// Package launch builds and starts the programs that benchmarks measure.
package launch

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

// StreamingReady is what a NATS Streaming server writes when it serves clients.
const StreamingReady = "Streaming Server is ready"

const (
	readyTimeout = time.Minute
	stopTimeout  = 20 * time.Second
)

// A Program is a server that runs.
type Program struct {
	*process.Process
	URL string // for clients of NATS
	log *watcher
}

// Start starts a program that listens on a port, in a directory, and returns when it writes the text ready. The caller stops it.
func Start(ctx context.Context, dir, name, ready string, command func(port string) *exec.Cmd) (*Program, error) {
	port, err := databases.FreePort()
	if err != nil {
		return nil, err
	}
	w := &watcher{text: ready, ready: make(chan struct{})}
	cmd := command(strconv.Itoa(port))
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = w, w
	started, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	p := &Program{started, "nats://127.0.0.1:" + strconv.Itoa(port), w}
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

// Stop ends the program cleanly, or kills it.
func (p *Program) Stop() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Done():
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("still runs %v after SIGTERM\n%s", stopTimeout, p.Tail()), p.Kill())
	}
}

// Tail returns the end of what the program has written.
func (p *Program) Tail() string { return p.log.tail() }

// Streaming runs a NATS Streaming server of a cluster on a port.
func Streaming(binary, cluster string, args []string) func(port string) *exec.Cmd {
	return func(port string) *exec.Cmd {
		return exec.Command(binary, append([]string{"-cid", cluster, "-a", "127.0.0.1", "-p", port}, args...)...)
	}
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
