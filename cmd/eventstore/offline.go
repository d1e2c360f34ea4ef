package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	reading "github.com/nats-eventstore/nats-eventstore/server"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	envDSN    = "EVENTSTORE_DSN" // the way to give a password
	envDriver = "EVENTSTORE_DRIVER"
)

// offlineFlags name a database, for commands that need no server.
type offlineFlags struct {
	driver, dsn, config string
	eventChannels       []string
	every               bool // channels that are not event channels are read, too
}

func (f *offlineFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.dsn, "dsn", "", "work without a server on this database: a data source name, or the file of an SQLite database (EVENTSTORE_DSN)")
	flags.StringVar(&f.driver, "driver", "", "its driver: postgres, mysql (MariaDB, too) or sqlite; guessed from --dsn if it is absent (EVENTSTORE_DRIVER)")
	flags.StringVar(&f.config, "server-config", "", "or the configuration file of the server, which names the database and the event channels")
	flags.StringSliceVar(&f.eventChannels, "event-channels", nil, "patterns of event channels in the database (default eventstore.>)")
}

// complete takes what is open from the environment, unless flags name a server. elsewhere means that other flags may name the database
// whose event channels are given.
func (f *offlineFlags) complete(server, elsewhere bool) error {
	if f.dsn == "" && f.config == "" && !server {
		f.dsn = os.Getenv(envDSN)
	}
	f.driver = cmp.Or(f.driver, os.Getenv(envDriver))
	switch {
	case f.dsn != "" && f.config != "":
		return usage("--dsn and --server-config exclude each other")
	case f.dsn == "" && f.config == "" && len(f.eventChannels) > 0 && !elsewhere:
		return usage("--event-channels belongs to --dsn: a server knows its own")
	case f.dsn != "" && f.driver == "":
		var err error
		f.driver, err = driverOf(f.dsn)
		return err
	}
	return nil
}

func (f *offlineFlags) given() bool { return f.dsn != "" || f.config != "" }

// options returns the options of a server on the database.
func (f *offlineFlags) options() (settings.Options, error) {
	args := []string{"-c", f.config}
	if f.dsn != "" {
		args = []string{"-store", config.StoreSQL, "-sql_driver", f.driver, "-sql_source", f.dsn}
	}
	if len(f.eventChannels) > 0 {
		args = append(args, "-event_channels", strings.Join(f.eventChannels, ","))
	}
	o, err := settings.Load(args)
	if errors.Is(err, flag.ErrHelp) {
		err = usage("--dsn or --server-config is not valid")
	}
	if err != nil {
		return o, &usageError{err}
	}
	if o.StoreType == config.StoreMemory {
		return o, usage("--server-config %s keeps nothing on disk: name a database with --dsn", f.config)
	}
	return o, nil
}

// read runs a command that reads on the database, through an API in this process.
func (f *offlineFlags) read(ctx context.Context, run func(context.Context, *remote) error) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	if f.every {
		o.Events = append(o.Events, eventlog.EventBlock{Channels: []string{">"}})
	}
	err = reading.Reading(ctx, o.Options, slog.New(slog.DiscardHandler), func(ctx context.Context, at net.Addr, token string) error {
		own := connectionFlags{target: target{URLs: []string{"http://" + at.String()}, Token: token}, timeout: o.StoreTimeout}
		r, err := own.dial()
		if err != nil {
			return err
		}
		r.offline = true
		return run(ctx, r)
	})
	return offlineError(err)
}

// consumers returns the consumers that the database holds.
func (f *offlineFlags) consumers(ctx context.Context) ([]*eventstorev1.Consumer, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	all, err := reading.StoredConsumers(ctx, o.Options, slog.New(slog.DiscardHandler))
	return all, offlineError(err)
}

// offlineError completes an error of working on a database.
func offlineError(err error) error {
	var behind *stores.SchemaError
	var damaged *stores.DamagedError
	switch {
	case errors.As(err, &behind) && behind.Version == 0:
		return notFound("the database has no tables of an event store: %s", "name another one, or start a server on it")
	case errors.As(err, &behind):
		return refused("the schema of the database is at version %d, this program needs %d: run nats-streaming-server migrate", behind.Version, behind.Needed)
	case errors.Is(err, stores.ErrTooNew):
		return refused("%v: use the eventstore of that release", err)
	case errors.As(err, &damaged):
		return &statusError{exitFaults, damaged.Error() + ": eventstore verify tells more"}
	}
	return settings.Redacted(err)
}
