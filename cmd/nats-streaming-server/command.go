package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// command is a subcommand, named by the first argument. It takes its own flags and those of the server.
type command struct {
	usage  string
	failed int // exit status after an error; 0 means 1
	run    func(ctx context.Context, name string, args []string) error
}

var commands map[string]*command

func init() { // their flags are read by what names the commands in errors
	commands = map[string]*command{
		"migrate": &migrateCommand, "import": &importCommand, "verify": &verifyCommand, "backup": &backupCommand, "token": &tokenCommand,
		"healthcheck": &healthcheckCommand,
	}
}

// runCommand returns the exit status.
func runCommand(name string, args []string) int {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := notify(syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
	}()
	err := commands[name].run(ctx, name, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(commands[name].usage)
		return 0
	case errors.Is(err, offline.ErrFindings):
		return 1 // the report on stdout lists the findings
	case err != nil:
		for line := range strings.Lines(strings.TrimSpace(err.Error())) {
			fmt.Fprintf(os.Stderr, "nats-streaming-server %s: %s\n", name, printable.Line(strings.TrimSpace(line)))
		}
		return max(commands[name].failed, 1)
	}
	return 0
}

// database returns the server options that name the command's database.
func database(args []string) (settings.Options, error) {
	o, err := settings.Load(args)
	if err != nil {
		return o, err
	}
	if o.Check {
		return o, errors.New("-t checks the configuration of a server: leave out the command, or -t")
	}
	if o.StoreType == config.StoreMemory {
		return o, errors.New("-store MEMORY keeps nothing on disk: name the database with -store, -dir, -sql_driver and -sql_source, or -c")
	}
	o.Store.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	return o, nil
}
