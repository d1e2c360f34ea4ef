// Package server stands in for github.com/nats-io/nats-streaming-server/server when the test suite of
// stan.go is built: it has what the suite uses of that package, and runs our binary in place of the reference server.
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

// ErrDupDurable has the text of the error that clients get.
var ErrDupDurable = errors.New("stan: duplicate durable registration")

// errEnded says that a server ended before it served anybody. Why is in its log.
var errEnded = errors.New("server ended")

// Options are those that the suite sets. The zero value of a field means the server's default.
type Options struct {
	ID            string // cluster ID
	NATSServerURL string // external NATS server
	MaxChannels   int
}

// GetDefaultOptions returns options without any setting.
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

// StanServer is one running server.
type StanServer struct {
	process  *process.Process
	shutdown sync.Once
}

// patience bounds starting and stopping.
const patience = 90 * time.Second

// RunServer starts a server with an embedded NATS server on the default port and returns when it serves clients.
func RunServer(id string) (*StanServer, error) {
	return RunServerWithOpts(&Options{ID: id}, nil)
}

// RunServerWithOpts is RunServer with options. The suite gives none for the NATS server.
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

// Shutdown stops the server and returns when it has ended. A server that does not end cleanly is a bug, so
// it panics.
func (s *StanServer) Shutdown() {
	s.shutdown.Do(func() {
		s.process.Signal(syscall.SIGINT)
		select {
		case <-s.process.Done():
		case <-time.After(patience):
			s.process.Signal(syscall.SIGQUIT) // which prints its goroutines
			<-s.process.Done()
		}
		if err := s.process.Wait(); err != nil {
			panic(fmt.Sprintf("server did not end cleanly: %v", err))
		}
	})
}

// watch passes a log on, and closes seen once the text was in it.
type watch struct {
	out  io.Writer
	text string
	head []byte // what was written so far; nil once the text was seen
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
