package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/offline"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// copyDatabase copies a database of this server.
type copyDatabase struct{ from databaseFlags }

func (c *copyDatabase) register(flags *pflag.FlagSet) {
	c.from = databaseFlags{prefix: "from", variable: "EVENTSTORE_FROM_"}
	c.from.register(flags, "the database to copy from")
}

func (c *copyDatabase) complete() error { return c.from.complete() }
func (c *copyDatabase) given() bool     { return c.from.given() }
func (*copyDatabase) name() string      { return "--from-dsn" }

func (c *copyDatabase) copy(ctx context.Context, o *copyOptions) error {
	if len(o.patterns) > 0 {
		return usage("a copy from one database to another is of all channels, since positions are of all events: take some with eventstore export and import")
	}
	channels := o.t.flags.offline.eventChannels
	from, err := c.from.options(channels)
	if err != nil {
		return err
	}
	to, err := o.to.options(channels)
	if err != nil {
		return err
	}
	if from.Store.Driver == to.Store.Driver && from.Store.Source == to.Store.Source {
		return usage("--from-dsn and --to-dsn are the same database")
	}
	former, err := stores.IsFormer(ctx, from.Store)
	if err != nil {
		return settings.Redacted(err)
	}
	if former { // a NATS Streaming that has stopped
		return (&copyNATSStreaming{left: offline.Left{SQL: &from.Store}, database: c}).copy(ctx, o)
	}
	progress := &copyProgress{t: o.t}
	began := time.Now()
	report, err := offline.Copy(ctx, from.Options, to.Options, offline.CopyOptions{Follow: o.follow, Log: progress.log, Progress: progress.at})
	progress.end()
	if err != nil {
		return settings.Redacted(err)
	}
	return o.t.reportCopy(report, to.Options, time.Since(began))
}

// reportCopy says what was copied, and how to go on.
func (t *tool) reportCopy(r *offline.CopyReport, to config.Options, took time.Duration) error {
	if t.json() {
		object := map[string]any{
			"cluster_id": r.ClusterID, "channels": r.Channels, "messages": r.Messages, "position": r.Position, "seconds": took.Seconds(), "rows": r.Tables,
		}
		if !r.Fenced.IsZero() {
			object["rest_seconds"] = time.Since(r.Fenced).Seconds()
		}
		return t.printJSON(object)
	}
	err := t.print("Copied and compared %s messages on %s channels, up to position %s, in %s.", number(r.Messages), number(r.Channels), number(r.Position), duration(took))
	if err == nil && !r.Fenced.IsZero() {
		err = t.print("The source stopped %s ago. It is marked as moved: no server starts on it.", duration(time.Since(r.Fenced)))
	}
	if err == nil {
		err = t.print("Start the server on the new database, with the other options as before: -store sql -sql_driver %s -sql_source DSN -cluster_id %s", to.Store.Driver, r.ClusterID)
	}
	return err
}

// copyProgress shows how far a copy is: a phase is one line.
type copyProgress struct {
	t     *tool
	phase string
	now   *progress
	first uint64 // done when the phase began
}

func (p *copyProgress) at(phase string, done, total uint64) {
	if phase != p.phase {
		p.end()
		p.phase, p.now, p.first = phase, p.t.newProgress("messages "+phase, total), done
	}
	if p.now != nil {
		p.now.total = total - min(p.first, total)
		p.now.at(done - min(p.first, done))
	}
}

func (p *copyProgress) log(format string, args ...any) {
	p.now.clear()
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		p.t.note("%s", strings.TrimSpace(line))
	}
}

func (p *copyProgress) end() { p.now.clear() }
