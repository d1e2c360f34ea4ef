package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

// defaultReport is the default of -report.
const defaultReport = 10

var migrateCommand = command{
	usage: `Usage: nats-streaming-server migrate [-dry_run] [-report <n>] [options of the server]

Updates the database of a stopped server: its schema, the positions of events that an older server wrote,
the event columns of messages that are older than their event channel, and the indexes on event data. You can interrupt the migration and run it again.

    -dry_run                                     Show the changes without making them
    -report <n>                                  How many invalid events to list per channel (default 10)

The options name the database (-store, -dir, -sql_driver, -sql_source) and the event channels
(-event_channels, -event_versions), or the configuration file with these settings (-c).
`,
	run: func(ctx context.Context, name string, args []string) error {
		m := offline.MigrateOptions{Out: os.Stdout}
		fs := flag.NewFlagSet(name, flag.ContinueOnError)
		fs.BoolVar(&m.DryRun, "dry_run", false, "")
		fs.IntVar(&m.Report, "report", defaultReport, "")
		rest, err := settings.Split(fs, args)
		if err != nil {
			return err
		}
		o, err := database(rest)
		if err != nil {
			return err
		}
		if o.StoreType == config.StoreFile && offline.HoldsFileStore(o.Dir) && missing(o.Store.Source) {
			return o.PrepareStore() // its error recommends the import command
		}
		if o.StoreType == config.StoreFile && missing(o.Store.Source) {
			return fmt.Errorf("there is no database in %s", o.Dir)
		}
		return offline.Migrate(ctx, o.Options, m)
	},
}

func missing(file string) bool {
	_, err := os.Stat(file)
	return err != nil
}
