// Command nats-streaming-server is the event store: a NATS Streaming server that commits every message to a SQL database
// before it acknowledges it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // for data source names with a time zone, where the system has none

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server"
	"github.com/nats-eventstore/nats-eventstore/server/config"
)

func main() {
	args := slices.Clone(os.Args[1:])
	settings.HideSecrets(os.Args[1:])
	os.Exit(run(args))
}

// exitTerminated is the exit status after SIGTERM, the same as of a process without a signal handler.
const exitTerminated = 128 + int(syscall.SIGTERM)

func run(args []string) int {
	if len(args) > 0 && commands[args[0]] != nil {
		return runCommand(args[0], args[1:])
	}
	nameProcess()
	o, err := settings.Load(args)
	if err == nil && o.Check {
		return check(o)
	}
	if err == nil {
		err = o.PrepareStore()
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		printLines(err.Error())
		return 1
	}
	opts := o.Options
	opts.Reread = func() (config.Options, error) { return settings.Configure(args) }
	notifyControl(&opts)
	opts.Started = notifyReady
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := notify(syscall.SIGINT, syscall.SIGTERM)
	status := make(chan int, 1)
	go func() {
		if <-signals == syscall.SIGTERM {
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

// check prints all that would keep a server from starting, and returns the exit status of -t.
func check(o settings.Options) int {
	warnings, err := server.Check(context.Background(), o.Options)
	for _, w := range append(o.Notices, warnings...) {
		printLines("warning: " + w)
	}
	if err := settings.Redacted(errors.Join(o.CheckStore(), err)); err != nil {
		printLines(err.Error())
		return 1
	}
	printLines("the configuration is valid")
	return 0
}

// printLines writes lines for an operator.
func printLines(text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(os.Stderr, "nats-streaming-server: %s\n", line)
		}
	}
}

// notify returns a channel that receives the signals. They no longer end the process.
func notify(signals ...os.Signal) <-chan os.Signal {
	c := make(chan os.Signal, 2)
	signal.Notify(c, signals...)
	return c
}
