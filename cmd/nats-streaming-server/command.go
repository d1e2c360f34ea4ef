package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"

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

// split sets the command's flags from the arguments and returns the other arguments, which are options of the server.
func split(fs *flag.FlagSet, args []string) (rest []string, err error) {
	fs.SetOutput(io.Discard)
	server := allFlags()
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		switch isFlag := strings.HasPrefix(args[i], "-"); {
		case name == "help" || isFlag && name == "h":
			return nil, flag.ErrHelp
		case !isFlag && i > 0 && isBool(args[i]):
			return nil, switchWithValue(args, i)
		case !isFlag:
			return nil, fmt.Errorf("unexpected argument %q: %s takes options here, which begin with -: -h lists them", args[i], fs.Name())
		}
		f, ofServer := fs.Lookup(name), server.Lookup(hidden(name))
		if f == nil && ofServer == nil {
			return nil, unknownFlag(name, append(flagNames(fs), flagNames(server)...))
		}
		if f == nil {
			rest = append(rest, args[i])
			if !hasValue && !isSwitch(ofServer) && i+1 < len(args) {
				i++
				rest = append(rest, args[i])
			}
			continue
		}
		switch {
		case hasValue:
		case isSwitch(f):
			value = "true"
		case i+1 == len(args):
			return nil, fmt.Errorf("flag -%s: needs a value", name)
		default:
			i++
			value = args[i]
		}
		if err := fs.Set(name, value); err != nil {
			return nil, fmt.Errorf("flag -%s: %q: %w: -h shows what it takes", name, value, err)
		}
	}
	return rest, nil
}

// database returns the server options that name the command's database.
func database(args []string) (options, error) {
	o, err := load(args)
	if err != nil {
		return o, err
	}
	if o.check {
		return o, errors.New("-t checks the configuration of a server: leave out the command, or -t")
	}
	if o.StoreType == config.StoreMemory {
		return o, errors.New("-store MEMORY keeps nothing on disk: name the database with -store, -dir, -sql_driver and -sql_source, or -c")
	}
	o.Store.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	return o, nil
}
