package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// copySource is where events are copied from into a database. Each is in a file of its own, with its flags.
type copySource interface {
	register(flags *pflag.FlagSet)
	complete() error // takes what is open from the environment
	given() bool     // its flags name it
	name() string    // the flag that names it
	copy(ctx context.Context, o *copyOptions) error
}

// copyTarget is where events are copied to other than a database: from the server or database that --url, --context or --dsn name.
type copyTarget interface {
	register(flags *pflag.FlagSet)
	given() bool
	name() string // the flag that names it
	copy(ctx context.Context, o *copyOptions) error
}

// copyOptions are what all copies have in common.
type copyOptions struct {
	t        *tool
	to       databaseFlags // the target, unless it is another one
	patterns []string      // of channels; empty for all
	follow   bool          // go on until the source's server has stopped
	dsn      bool          // --dsn or --server-config was given
}

// newCopySources and newCopyTargets return what the command knows: add yours here.
func newCopySources() []copySource {
	database := &copyDatabase{}
	return []copySource{&copyNATSStreaming{database: database}, database} // it may take the database over
}

func newCopyTargets() []copyTarget { return []copyTarget{&copyJetStream{}} }

func copyCommand(t *tool) *cobra.Command {
	o := &copyOptions{t: t, to: databaseFlags{prefix: "to", variable: "EVENTSTORE_TO_"}}
	sources, targets := newCopySources(), newCopyTargets()
	c := &cobra.Command{
		Use:   "copy --from-dsn DSN --to-dsn DSN",
		Short: "Move an event store to another database, while its server goes on",
		Long: `Copies everything that a database of an event store holds into another one, also of another kind: events and other messages with their
sequences, positions and times, consumers with their positions, parked messages, clients, relays and the audit table.

The target must be empty, or hold the interrupted part of the same copy, which goes on. No server starts on it before the copy is complete.
With --follow, the source's server may go on working: the copy stays close behind it, until you stop it.

With --to-jetstream, it fills a stream for each channel of --url, --context or --dsn, or of those that match a CHANNEL, with the same sequences.
Durables and queue groups become consumers that go on where they were.`,
		Example: `  eventstore copy --from-dsn data/eventstore.db --to-dsn postgres://host/events --follow
  eventstore copy --from-nats nats://old:4222 --from-monitor http://old:8222 --from-dir /var/lib/stan --to-dsn postgres://host/events --follow
  eventstore copy --to-jetstream nats://127.0.0.1:4222 'eventstore.>' --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.patterns = args
			if cmd.Flags().Changed("dsn") || cmd.Flags().Changed("server-config") {
				o.dsn = true
			}
			return o.run(cmd.Context(), sources, targets)
		},
	}
	for _, s := range sources {
		s.register(c.Flags())
	}
	o.to.register(c.Flags(), "the database to copy to")
	for _, target := range targets {
		target.register(c.Flags())
	}
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on while the source's server works; when you stop it, copy what is left")
	return c
}

// run finds out what to copy to where.
func (o *copyOptions) run(ctx context.Context, sources []copySource, targets []copyTarget) error {
	if err := o.to.complete(); err != nil {
		return err
	}
	var from []copySource
	var fromNames, toNames, allFrom []string
	for _, s := range sources {
		if err := s.complete(); err != nil {
			return err
		}
		allFrom = append(allFrom, s.name())
		if s.given() {
			from = append(from, s)
			fromNames = append(fromNames, s.name())
		}
	}
	if o.to.given() {
		toNames = append(toNames, "--to-dsn")
	}
	allTo := []string{"--to-dsn"}
	var other copyTarget
	for _, target := range targets {
		allTo = append(allTo, target.name())
		if target.given() {
			other = target
			toNames = append(toNames, target.name())
		}
	}
	switch {
	case len(toNames) == 0:
		return usage("say where to copy to: %s", strings.Join(allTo, " or "))
	case len(toNames) > 1:
		return usage("%s exclude each other", strings.Join(toNames, " and "))
	case other != nil && len(from) > 0:
		return usage("%s takes its events from --url, --context or --dsn: leave %s away", other.name(), strings.Join(fromNames, " and "))
	case other != nil:
		return other.copy(ctx, o)
	case o.dsn:
		return usage("--dsn is for other commands: say where to copy from with %s", strings.Join(allFrom, " or "))
	case len(from) == 0:
		return usage("say where to copy from: %s", strings.Join(allFrom, " or "))
	case len(from) > 1:
		return usage("%s exclude each other", strings.Join(fromNames, " and "))
	}
	return from[0].copy(ctx, o)
}
