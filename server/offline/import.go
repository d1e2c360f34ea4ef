package offline

import (
	"context"
	"errors"
	"io"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/stores/filestore"
)

// ImportOptions configure Import.
type ImportOptions struct {
	Dir    string            // directory of the FILE store
	Files  filestore.Options // how the store was written; Import sets Logger
	Report int               // invalid events to list per channel
	Out    io.Writer         // human-readable output
}

// HoldsFileStore reports whether a directory holds a FILE store of NATS Streaming.
func HoldsFileStore(dir string) bool { return filestore.Exists(dir) }

// Import copies a FILE store of NATS Streaming into the database: channels, messages with their sequences and
// timestamps, clients, and subscriptions with their unacknowledged messages. On event channels it also fills the event
// columns, as Migrate does.
//
// Messages that limits discarded but the files still hold are imported, too. The limits of the options apply when the
// server starts.
//
// No server may run on either side. The database must be empty, or hold an interrupted import of the same store, which
// Import then continues. No server starts on the database until the import is complete.
func Import(ctx context.Context, o config.Options, m ImportOptions) error {
	return interrupted(ctx, importFiles(ctx, o, m))
}

func importFiles(ctx context.Context, o config.Options, m ImportOptions) (err error) {
	target, err := newTarget(o, m.Report, m.Out)
	if err != nil {
		return err
	}
	m.Files.Logger = o.Store.Logger
	files, err := filestore.Open(m.Dir, m.Files)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.Close()) }()
	for _, c := range files.Channels {
		if err := validName(c.Name); err != nil {
			return err
		}
	}
	if err := target.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.close(ctx)) }()
	if err := target.begin(ctx, files.Info); err != nil {
		return err
	}
	if err := target.takeAll(ctx, files); err != nil {
		return err
	}
	return target.finish(ctx, files)
}
