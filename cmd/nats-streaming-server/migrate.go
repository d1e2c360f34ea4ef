package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

// defaultReport is how many messages that are no valid events are named, per channel.
const defaultReport = 10

var migrateCommand = command{
	usage: `Usage: nats-streaming-server migrate [-dry_run] [-report <n>] [options of the server]

Brings the database of a server that is not running up to date: its schema, the event columns of
messages that were stored before their channels became event channels, the indexes of event data.
It can be interrupted, and run again.

    -dry_run                                     Show what would change, and change nothing
    -report <n>                                  How many messages that are no valid events are named, per channel (default 10)

The options name the database (-store, -dir, -sql_driver, -sql_source) and the event channels
(-event_channels, -event_versions), or the configuration file that does (-c).
`,
	run: func(ctx context.Context, name string, args []string) error {
		m := offline.MigrateOptions{Out: os.Stdout}
		fs := flag.NewFlagSet(name, flag.ContinueOnError)
		fs.BoolVar(&m.DryRun, "dry_run", false, "")
		fs.IntVar(&m.Report, "report", defaultReport, "")
		rest, err := split(fs, args)
		if err != nil {
			return err
		}
		o, err := database(rest)
		if err != nil {
			return err
		}
		if o.store == storeFile && offline.HoldsFileStore(o.dir) && !exists(o.Store.Source) {
			return o.prepareStore() // names the command that is meant
		}
		if o.store == storeFile && !exists(o.Store.Source) {
			return fmt.Errorf("there is no database in %s", o.dir)
		}
		return offline.Migrate(ctx, o.Options, m)
	},
}
