package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/cmd/nats-streaming-server/settings"
	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/lease"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// lowDisk is when the disk of an SQLite database is nearly full: below it, of all, or in bytes.
const (
	lowDiskShare = 0.05
	lowDiskBytes = 1 << 30
)

// database examines a database by the questions that a server asks at its start. It changes nothing.
func (x *examination) database(ctx context.Context, o config.Options) {
	about := "database"
	o.Store.Logger = slog.New(&warnings{x, about})
	i, err := stores.Check(ctx, o.Store)
	switch {
	case err != nil:
		err = settings.Redacted(err)
		x.add(fault, about, err.Error(), remedyOf(err))
		return
	case i == nil:
		x.add(fault, about, "there is no such file", "name the database with --dsn: a server would create this one")
		return
	}
	defer i.Close() //nolint:errcheck // nothing was written
	x.fine(about, "this user may do what a server does; the triggers and tables are those of an event store")
	switch {
	case i.Version == 0:
		x.add(warning, about, "it has no tables of an event store yet", "start a server on it, or run nats-streaming-server migrate")
	case i.Version > i.Needed:
		x.add(warning, about, fmt.Sprintf("its schema has version %d, newer than %d of this program", i.Version, i.Needed), "use the newer release here, too")
	case len(i.Files) > 0:
		x.add(warning, about, fmt.Sprintf("its schema has version %d, this program needs %d", i.Version, i.Needed), "run nats-streaming-server migrate, or start the new server")
	default:
		x.fine(about, "its schema has version %d, as this program needs", i.Version)
	}
	if i.Unnumbered > 0 {
		x.add(warning, about, fmt.Sprintf("up to %s events have no position yet", number(i.Unnumbered)), "the next start of a server, or nats-streaming-server migrate, gives them one")
	}
	if i.Importing != nil {
		x.add(fault, about, "an import into it is unfinished", "run nats-streaming-server import, or eventstore copy, again")
	}
	if i.Moved != nil {
		x.add(warning, about, "its store was moved to another database", "start the server there")
	}
	var events uint64
	for _, c := range i.Channels {
		events += c.Info().Msgs
	}
	x.fine(about, "%d channels with %s messages", len(i.Channels), number(events))
	x.lease(ctx, i)
	if o.Store.Driver == "sqlite" {
		x.disk(filepath.Dir(o.Store.Source))
	}
}

// lease tells whether a server leads on the database.
func (x *examination) lease(ctx context.Context, i *stores.Inspection) {
	if i.Version == 0 {
		return
	}
	seen, err := i.Lease(ctx)
	if err != nil {
		x.add(fault, "lease", settings.Redacted(err).Error(), "the table StoreLock must have one row: eventstore verify tells more")
		return
	}
	if seen.Holder == "" {
		x.fine("lease", "no server leads on this database")
		return
	}
	for began := time.Now(); time.Since(began) < lease.Expiry; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lease.Poll):
		}
		if now, err := i.Lease(ctx); err != nil || now != seen {
			x.fine("lease", "a server leads on this database")
			return
		}
	}
	x.add(warning, "lease", "its holder has not renewed it: the server has ended without giving it up", "start a server: it takes over")
}

// disk looks at the file system of an SQLite database.
func (x *examination) disk(dir string) {
	free, all, err := diskSpace(dir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return
	case err != nil:
		x.add(warning, "disk", err.Error(), "look at the directory "+dir)
	case free < lowDiskBytes || float64(free) < lowDiskShare*float64(all):
		x.add(warning, "disk", fmt.Sprintf("only %s of %s are free", bytesOf(free), bytesOf(all)), "make room: a full disk stops appends")
	default:
		x.fine("disk", "%s of %s are free", bytesOf(free), bytesOf(all))
	}
}

// remedyOf says what to do about an error that does not say so itself.
func remedyOf(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "name the database with --dsn"
	case errors.Is(err, fs.ErrPermission):
		return "run this as the user of the server"
	case strings.Contains(err.Error(), ": "):
		return "a server would not start on it; docs/operate/operations.md has more about databases"
	}
	return ""
}

// warnings makes what a start would log findings.
type warnings struct {
	x     *examination
	about string
}

// Enabled implements slog.Handler.
func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements slog.Handler.
func (w *warnings) Handle(_ context.Context, record slog.Record) error {
	text := record.Message
	record.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(", %s %v", a.Key, a.Value)
		return true
	})
	finding, remedy, _ := strings.Cut(text, ": ")
	w.x.add(warning, w.about, finding, remedy)
	return nil
}

// WithAttrs implements slog.Handler.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements slog.Handler.
func (w *warnings) WithGroup(string) slog.Handler { return w }
