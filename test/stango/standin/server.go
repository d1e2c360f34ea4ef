// Package server stands in for github.com/nats-io/nats-streaming-server/server in the test suite of stan.go. It has only
// what the suite uses, and runs our binary instead of the reference server.
package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/test/process"
)

// BinaryVariable is the environment variable with the path of the binary.
const BinaryVariable = "NATS_STREAMING_SERVER"

// ErrDupDurable has the text of the error that clients receive.
var ErrDupDurable = errors.New("stan: duplicate durable registration")

// errEnded means that a server ended before it served clients. Its log has the reason.
var errEnded = errors.New("server ended")

// Options are the options that the suite sets. A zero field means the server's default.
type Options struct {
	ID            string // cluster ID
	NATSServerURL string // external NATS server
	MaxChannels   int
}

// GetDefaultOptions returns empty options.
func GetDefaultOptions() *Options { return &Options{} }

func (o *Options) args() []string {
	args := []string{"-a", "127.0.0.1", "-p", strconv.Itoa(natsd.DEFAULT_PORT), "-store", "MEMORY", "-cid", o.ID}
	if o.NATSServerURL != "" {
		args = append(args, "-ns", o.NATSServerURL)
	}
	if o.MaxChannels != 0 {
		args = append(args, "-max_channels", strconv.Itoa(o.MaxChannels))
	}
	return args
}

// StanServer is a running server.
type StanServer struct {
	process  *process.Process
	shutdown sync.Once
}

// patience bounds starting and stopping.
const patience = 90 * time.Second

// RunServer starts a server with an embedded NATS server on the default port. It returns when the server serves clients.
func RunServer(id string) (*StanServer, error) {
	return RunServerWithOpts(&Options{ID: id}, nil)
}

// RunServerWithOpts is like RunServer, with options. natsOpts must be nil, as in the suite.
func RunServerWithOpts(o *Options, natsOpts *natsd.Options) (*StanServer, error) {
	if natsOpts != nil {
		return nil, errors.New("options of the NATS server are not supported")
	}
	log := &watch{out: os.Stderr, text: "Streaming Server is ready", seen: make(chan struct{})}
	cmd := exec.Command(os.Getenv(BinaryVariable), o.args()...)
	cmd.Stderr = log
	p, err := process.Start(cmd, nil, syscall.SIGKILL)
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	s := &StanServer{process: p}
	select {
	case <-log.seen:
		return s, nil
	case <-p.Done():
		return nil, errors.Join(errEnded, p.Wait())
	case <-time.After(patience):
		p.Signal(syscall.SIGKILL)
		return nil, fmt.Errorf("server not ready within %v", patience)
	}
}

// Shutdown stops the server and waits for it to end. It panics if the server does not end cleanly, which is a bug.
func (s *StanServer) Shutdown() {
	s.shutdown.Do(func() {
		s.process.Signal(syscall.SIGINT)
		select {
		case <-s.process.Done():
		case <-time.After(patience):
			s.process.Signal(syscall.SIGQUIT) // prints its goroutines
			<-s.process.Done()
		}
		if err := s.process.Wait(); err != nil {
			panic(fmt.Sprintf("server did not end cleanly: %v", err))
		}
	})
}

// watch forwards a log and closes seen when the log contains the text.
type watch struct {
	out  io.Writer
	text string
	head []byte // the output so far; nil once the text was seen
	seen chan struct{}
	done bool
}

func (w *watch) Write(b []byte) (int, error) {
	if !w.done {
		w.head = append(w.head, b...)
		if bytes.Contains(w.head, []byte(w.text)) {
			w.done, w.head = true, nil
			close(w.seen)
		}
	}
	return w.out.Write(b)
}
