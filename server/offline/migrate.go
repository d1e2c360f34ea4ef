package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// numberTime is how long it takes to number an event on a slow machine: docs/operate/releases.md has figures.
const numberTime = 200 * time.Microsecond

// MigrateOptions configure Migrate.
type MigrateOptions struct {
	DryRun bool      // show what would change, and change nothing
	Report int       // invalid events to list per channel
	Out    io.Writer // human-readable output
}

// Migrate upgrades the database of a stopped server to the options: its schema, the positions of events that an older server
// wrote, the event columns of messages older than their event channel, and the indexes of event data. It can be interrupted and run again. Messages that are not
// valid events stay as they are; they are reported, but are not an error.
func Migrate(ctx context.Context, o config.Options, m MigrateOptions) error {
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		return err
	}
	if m.DryRun {
		return interrupted(ctx, showMigration(ctx, o, m, events))
	}
	return interrupted(ctx, migrate(ctx, o, m, events))
}

func migrate(ctx context.Context, o config.Options, m MigrateOptions, events eventlog.Events) (err error) {
	out := &progressLines{to: m.Out}
	o.Store.NumberAll = true
	o.Store.Numbering = func(n stores.Numbering) {
		switch {
		case n.Chaining && n.Finished:
			out.line("%d events got their hashes in %v (%.0f/s).", n.Done, n.Took.Round(time.Millisecond), n.Rate())
			return
		case n.Chaining:
			out.line("Chaining events: %d of at most %d, %.0f/s, %v left at most.", n.Done, n.Most, n.Rate(), n.Left())
			return
		case n.Finished:
			out.line("%d events got their positions in %v (%.0f/s).", n.Done, n.Took.Round(time.Millisecond), n.Rate())
			return
		}
		out.line("Numbering events: %d of at most %d, %.0f/s, %v left at most.", n.Done, n.Most, n.Rate(), n.Left())
	}
	f, err := openDatabase(ctx, o.Store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(ctx)) }()
	if f.state.Importing != nil {
		return ErrImporting
	}
	out.line("The schema is up to date.")
	for _, c := range f.state.Channels {
		if err := backfill(ctx, f.store, c.Channel, events, o.Versions, m.Report, out); err != nil {
			return err
		}
	}
	if err := f.store.ApplyIndexes(ctx); err != nil {
		return fmt.Errorf("event data indexes: %w", err)
	}
	out.line("Done.")
	return nil
}

// backfill fills the event columns if the channel is an event channel.
func backfill(ctx context.Context, store *stores.Store, c *stores.Channel, events eventlog.Events, versions []eventlog.ChannelVersions, report int, out *progressLines) error {
	f := &filling{c: c, left: leftovers{limit: report}}
	if err := f.fill(ctx, store, events, versions, out); err != nil {
		return err
	}
	f.print(out)
	return nil
}

// filling fills the event columns of a channel, in one go or as messages arrive.
type filling struct {
	c      *stores.Channel
	last   uint64 // sequence up to which that is done
	filled uint64
	took   time.Duration
	left   leftovers

	subscribed bool // an import has written subscriptions of the channel
}

// fill fills the event columns of messages that came since the last call, if the channel is an event channel. out may be nil.
func (f *filling) fill(ctx context.Context, store *stores.Store, events eventlog.Events, versions []eventlog.ChannelVersions, out *progressLines) error {
	block, last := events.Of(f.c.Name()), f.c.Info().Last
	if block == nil || last <= f.last {
		return nil
	}
	started := time.Now()
	filled, err := store.Backfill(ctx, f.c, stores.Backfill{
		From:     f.last + 1,
		Mapping:  block.Mapping,
		Versions: block.VersionsOf(versions, f.c.Name()),
		Left:     f.left.add,
		Progress: func(sequence uint64) {
			f.last = max(f.last, sequence)
			if out != nil {
				out.progress("Channel %q: checked sequence %d of %d, %d messages are not valid events.", f.c.Name(), sequence, last, f.left.count)
			}
		},
	})
	f.filled += filled
	f.took += time.Since(started)
	if err == nil {
		f.last = last
	}
	return err
}

// print tells what became of the messages.
func (f *filling) print(out *progressLines) {
	if f.filled > 0 || f.left.count > 0 {
		out.line("Channel %q: %d messages became events in %v, %d stay as they are.", f.c.Name(), f.filled, f.took.Round(time.Millisecond), f.left.count)
		f.left.print(f.c.Name(), out)
	}
}

// leftovers counts the messages that are not valid events and keeps the first of them.
type leftovers struct {
	limit int
	count int
	first []leftover
}

type leftover struct {
	sequence uint64
	why      error
}

func (l *leftovers) add(sequence uint64, why error) {
	if l.count++; l.count <= l.limit {
		l.first = append(l.first, leftover{sequence, why})
	}
}

func (l *leftovers) print(channel string, out *progressLines) {
	for _, it := range l.first {
		out.line("  channel %q sequence %d: %v", channel, it.sequence, it.why)
	}
	if more := l.count - len(l.first); more > 0 {
		out.line("  and %d more", more)
	}
}

// showMigration prints what migrate would do.
func showMigration(ctx context.Context, o config.Options, m MigrateOptions, events eventlog.Events) (err error) {
	out := &progressLines{to: m.Out}
	inspection, err := stores.Inspect(ctx, o.Store)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("nothing to migrate: %w", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inspection.Close()) }()
	if len(inspection.Files) == 0 {
		out.line("The schema is up to date.")
	} else {
		out.line("The schema is at version %d, this server needs %d. Migration would run:", inspection.Version, inspection.Needed)
		for _, file := range inspection.Files {
			out.line("  %s", file)
		}
	}
	if n := inspection.Unnumbered; n > 0 {
		out.line("Up to %d events would get positions, in about %v.", n, max(time.Second, time.Duration(n)*numberTime).Round(time.Second))
	}
	for _, c := range inspection.Channels {
		block := events.Of(c.Name())
		if block == nil {
			continue
		}
		left := &leftovers{limit: m.Report}
		valid, last := 0, c.Info().Last
		err := inspection.Events(ctx, c, block.Mapping, func(sequence uint64, err error) {
			if err != nil {
				left.add(sequence, err)
			} else {
				valid++
			}
			out.progress("Channel %q: checked sequence %d of %d.", c.Name(), sequence, last)
		})
		if err != nil {
			return err
		}
		if valid > 0 || left.count > 0 {
			out.line("Channel %q: %d messages would become events, %d stay as they are.", c.Name(), valid, left.count)
			left.print(c.Name(), out)
		}
	}
	out.line("Nothing was changed. Only the migration itself finds repeated event_ids and conflicting versions.")
	return nil
}
