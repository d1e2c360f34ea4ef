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

// serve starts a server and returns its URL when it says that it is ready.
func (s *setup) serve(ctx context.Context, name, binary string, args []string) (string, error) {
	progress("start %s", name)
	port, err := databases.FreePort()
	if err != nil {
		return "", err
	}
	w := &watcher{ready: make(chan struct{})}
	cmd := exec.Command(binary, append([]string{"-cid", cluster, "-a", "127.0.0.1", "-p", strconv.Itoa(port)}, args...)...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = w, w
	p, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		return "", err
	}
	s.closers = append(s.closers, func() error {
		p.Signal(syscall.SIGTERM)
		select {
		case <-p.Done():
			return nil
		case <-time.After(stopTimeout):
			return errors.Join(fmt.Errorf("%s still runs %v after SIGTERM\n%s", name, stopTimeout, w.tail()), p.Kill())
		}
	})
	select {
	case <-w.ready:
		return "nats://127.0.0.1:" + strconv.Itoa(port), nil
	case <-p.Done():
		err = errors.New("ended before it was ready")
	case <-time.After(readyTimeout):
		err = fmt.Errorf("not ready after %v", readyTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	return "", fmt.Errorf("%s: %w\n%s", name, err, w.tail())
}

// watcher keeps the end of a server's log and waits for its ready line.
type watcher struct {
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
	if !w.seen && bytes.Contains(w.log, []byte(readyLine)) {
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
