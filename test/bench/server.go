package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"

	"github.com/nats-eventstore/nats-eventstore/test/launch"
)

const (
	cluster   = "bench"
	readyLine = launch.StreamingReady
)

// A program is a server that runs.
type program = launch.Program

// serve starts a NATS Streaming server and returns when it says that it is ready. It ends with the setup.
func (s *setup) serve(ctx context.Context, name, binary string, args []string) (*program, error) {
	progress("start %s", name)
	return s.launch(ctx, name, readyLine, func(port string) *exec.Cmd {
		cmd := streamingCommand(binary, args)(port)
		if len(s.through) > 0 {
			cmd = exec.Command(s.through[0], slices.Concat(s.through[1:], cmd.Args)...)
		}
		return cmd
	})
}

// streamingCommand runs a NATS Streaming server on a port.
func streamingCommand(binary string, args []string) func(port string) *exec.Cmd {
	return launch.Streaming(binary, cluster, args)
}

// launch starts a program that listens on a port and returns when it writes the line ready.
func (s *setup) launch(ctx context.Context, name, ready string, command func(port string) *exec.Cmd) (*program, error) {
	p, err := s.begin(ctx, name, ready, command)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, func() error {
		if err := p.Stop(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	return p, nil
}

// begin is launch of a program that the caller stops.
func (s *setup) begin(ctx context.Context, name, ready string, command func(port string) *exec.Cmd) (*program, error) {
	return launch.Start(ctx, s.dir, name, ready, command)
}
