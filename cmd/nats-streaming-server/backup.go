package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

var backupCommand = command{
	usage: `Usage: nats-streaming-server backup <file> [options of the server]

Writes one state of an SQLite database to a new file; the server may be running. The file exists only once it is
complete and on disk. It is an SQLite database: name it with -sql_driver sqlite -sql_source, or put it in the place of
the lost one.

The options name the database (-store, -dir, -sql_driver, -sql_source), or the configuration file does (-c). Other
databases have their own tools: docs/operate/backup.md.
`,
	run: func(ctx context.Context, name string, args []string) error {
		var file string
		if len(args) > 0 && !strings.HasPrefix(args[0], "-") && args[0] != "help" {
			file, args = args[0], args[1:]
		}
		rest, err := settings.Split(flag.NewFlagSet(name, flag.ContinueOnError), args)
		if err != nil {
			return err
		}
		if file == "" {
			return errors.New("name the file to write first: nats-streaming-server backup <file> [options]")
		}
		o, err := database(rest)
		if err != nil {
			return err
		}
		if err := offline.Backup(ctx, &o.Options, file); err != nil {
			return err
		}
		fmt.Println("Backed up to " + file)
		return nil
	},
}
