package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// childVariable makes this program one of the children: what must not share a process with the client that measures.
const childVariable = "NATS_EVENTSTORE_BENCH_CHILD"

var children = map[string]func() error{transport: standIn}

// childReady is what a child that serves writes when it is ready.
const childReady = "bench child is ready"

// serveChild starts a child that listens on the port that is its only argument.
func (s *setup) serveChild(ctx context.Context, name string) (*program, error) {
	progress("start %s", name)
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("own program: %w", err)
	}
	return s.launch(ctx, name, childReady, func(port string) *exec.Cmd {
		cmd := exec.Command(self, port)
		cmd.Env = append(os.Environ(), childVariable+"="+name)
		return cmd
	})
}
