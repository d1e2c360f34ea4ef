package main

import (
	"context"
	"flag"
	"os"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
)

var verifyCommand = command{
	usage: `Usage: nats-streaming-server verify [-json] [-report <n>] [-erased <file>] [options of the server]

Checks a database without writing to it; the server may be running. It checks that sequences have no gaps,
versions of aggregates, event columns against payloads, counters, state of clients and subscriptions,
indexes and triggers. The report goes to stdout, progress to stderr.

    -json                                        Write the report as JSON
    -report <n>                                  How many findings of each kind to list (default 10)
    -erased <file>                               Messages that were erased: lines such as 17 eventstore.orders

The options name the database (-store, -dir, -sql_driver, -sql_source) and the event channels
(-event_channels, -event_versions), or the configuration file with these settings (-c).

Exit status: 0 no findings, 1 findings, 2 the database could not be verified.
`,
	failed: 2,
	run: func(ctx context.Context, name string, args []string) error {
		v := offline.VerifyOptions{Out: os.Stdout, Log: os.Stderr}
		fs := flag.NewFlagSet(name, flag.ContinueOnError)
		fs.BoolVar(&v.JSON, "json", false, "")
		fs.IntVar(&v.Report, "report", defaultReport, "")
		erased := fs.String("erased", "", "")
		rest, err := settings.Split(fs, args)
		if err != nil {
			return err
		}
		if *erased != "" {
			list, err := os.Open(*erased)
			if err != nil {
				return err
			}
			defer list.Close() //nolint:errcheck // nothing was written
			v.Erased = list
		}
		o, err := database(rest)
		if err != nil {
			return err
		}
		return offline.Verify(ctx, o.Options, v)
	},
}
