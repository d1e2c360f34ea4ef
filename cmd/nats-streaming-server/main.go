// Command nats-streaming-server is the event store: a NATS Streaming server that commits every message to a
// SQL database before it acknowledges.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-eventstore/nats-eventstore/server"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// exitTerminated is the exit status after SIGTERM, that of a process which the signal ends.
const exitTerminated = 128 + int(syscall.SIGTERM)

func run(args []string) int {
	opts, err := configure(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "nats-streaming-server: %v\n", err)
		return 1
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	status := make(chan int, 1)
	go func() {
		sig, ok := <-signals
		if !ok {
			return
		}
		if sig == syscall.SIGTERM {
			status <- exitTerminated
		} else {
			status <- 0
		}
		stop()
	}()
	if err := server.Run(ctx, opts); err != nil {
		return 1
	}
	select {
	case s := <-status:
		return s
	default:
		return 0
	}
}
