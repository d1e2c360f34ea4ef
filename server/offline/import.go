package offline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
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

const (
	importMessages = 1000
	importBytes    = 4 << 20
)

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
	events, err := eventlog.NewEvents(o.Events)
	if err != nil {
		return err
	}
	run := &importRun{o: o, m: m, events: events, out: &progressLines{to: m.Out}}
	return interrupted(ctx, run.run(ctx))
}

// importRun is one call of Import.
type importRun struct {
	o      config.Options
	m      ImportOptions
	events eventlog.Events
	out    *progressLines

	files    *filestore.Store
	target   *database
	channels map[string]*stores.Channel // of the target

	messages, subscriptions, unacked int
}

func (r *importRun) run(ctx context.Context) (err error) {
	r.m.Files.Logger = r.o.Store.Logger
	if r.files, err = filestore.Open(r.m.Dir, r.m.Files); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.files.Close()) }()
	if r.target, err = openDatabase(ctx, r.o.Store); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.target.close(ctx)) }()
	if err := r.check(ctx); err != nil {
		return err
	}
	if err := r.target.store.BeginImport(ctx, r.files.Info); err != nil {
		return err
	}
	for _, c := range r.files.Channels {
		if err := r.channel(ctx, c); err != nil {
			return err
		}
	}
	// An interrupted run may have left part of the subscriptions, so all of them are written again.
	for _, c := range r.files.Channels {
		if err := r.subscribe(ctx, c); err != nil {
			return err
		}
	}
	if err := r.clients(ctx); err != nil {
		return err
	}
	if err := r.target.store.ApplyIndexes(ctx); err != nil {
		return fmt.Errorf("event data indexes: %w", err)
	}
	if err := r.target.store.SetServerInfo(ctx, r.files.Info); err != nil {
		return err
	}
	r.out.line("Imported %d channels, %d messages, %d subscriptions with %d unacknowledged messages, %d clients.",
		len(r.files.Channels), r.messages, r.subscriptions, r.unacked, len(r.files.Clients))
	if id := r.files.Info.ClusterID; id != r.o.ClusterID {
		r.out.line("Start the server with -cluster_id %s, that of the store.", id)
	}
	if r.files.Info.NodeID != "" {
		r.out.line("The store belongs to a cluster node, which holds only messages: clients must subscribe again.")
	}
	return nil
}

// check refuses a database that holds anything but part of this import.
func (r *importRun) check(ctx context.Context) error {
	for _, c := range r.files.Channels {
		if !eventlog.ValidChannel(c.Name) {
			return fmt.Errorf("channel %q: this server does not accept the name", c.Name)
		}
	}
	r.channels = map[string]*stores.Channel{}
	state := r.target.state
	if state.Importing == nil {
		if state.Server != nil || len(state.Clients) > 0 || len(state.Channels) > 0 {
			return errors.New("the database is not empty: import into an empty one")
		}
		return nil
	}
	errOther := errors.New("the database holds part of another import: import into an empty one")
	if state.Importing.ClusterID != r.files.Info.ClusterID {
		return errOther
	}
	from := map[string]*filestore.Channel{}
	for _, c := range r.files.Channels {
		from[c.Name] = c
	}
	for _, c := range state.Channels {
		same, err := r.sameLast(ctx, c.Channel, from[c.Channel.Name()])
		if err != nil {
			return err
		}
		if !same {
			return errOther
		}
		r.channels[c.Channel.Name()] = c.Channel
	}
	r.out.line("Continuing an interrupted import.")
	return nil
}

// sameLast reports whether the last imported message of a channel equals that of the files. A missing message proves
// nothing, so it counts as equal.
func (r *importRun) sameLast(ctx context.Context, c *stores.Channel, from *filestore.Channel) (bool, error) {
	last := c.Info().Last
	if from == nil || last > from.Last {
		return false, nil
	}
	stored, err := r.target.store.Read(ctx, c, last, last, 1, importBytes)
	if err != nil || len(stored) == 0 {
		return err == nil, err
	}
	var m pb.MsgProto
	if err := m.Unmarshal(stored[0].Data); err != nil {
		return false, nil
	}
	original, err := from.Message(last)
	if err != nil || original == nil {
		return err == nil, err
	}
	return m.Timestamp == original.Timestamp && m.Reply == original.Reply && bytes.Equal(m.Data, original.Data), nil
}

// channel imports a channel's messages from where the database ends.
func (r *importRun) channel(ctx context.Context, from *filestore.Channel) error {
	store := r.target.store
	c := r.channels[from.Name]
	if c == nil {
		var err error
		if c, err = store.CreateChannel(ctx, from.Name); err != nil {
			return err
		}
		r.channels[from.Name] = c
	}
	for next := max(from.First, c.Info().Last+1); next <= from.Last; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var batch []*pb.MsgProto
		for size := 0; next <= from.Last && len(batch) < importMessages && size < importBytes; next++ {
			m, err := from.Message(next)
			if err != nil {
				return err
			}
			if m != nil {
				batch = append(batch, m)
				size += len(m.Data)
			}
		}
		if err := store.Restore(ctx, c, batch, next-1); err != nil {
			return err
		}
		r.out.progress("Channel %q: imported sequence %d of %d.", from.Name, next-1, from.Last)
	}
	r.messages += int(c.Info().Msgs)
	r.out.line("Channel %q: %d messages, last sequence %d.", from.Name, c.Info().Msgs, c.Info().Last)
	return backfill(ctx, store, c, r.events, r.o.Versions, r.m.Report, r.out)
}

// subscribe imports a channel's subscriptions and their progress.
func (r *importRun) subscribe(ctx context.Context, from *filestore.Channel) error {
	store, c := r.target.store, r.channels[from.Name]
	if err := store.DeleteSubscriptions(ctx, c); err != nil {
		return err
	}
	progress := make([]stores.Progress, len(from.Subscriptions))
	for i, sub := range from.Subscriptions {
		state := *sub.State
		if err := store.CreateSubscription(ctx, c, &state); err != nil {
			return err
		}
		progress[i] = stores.Progress{Subscription: state.ID, LastSent: state.LastSent, Unacked: sub.Unacked}
		r.unacked += len(sub.Unacked)
		r.out.progress("Channel %q: imported %d of %d subscriptions.", from.Name, i+1, len(progress))
	}
	r.subscriptions += len(progress)
	return store.SaveProgress(ctx, progress)
}

func (r *importRun) clients(ctx context.Context) error {
	known := map[string]bool{}
	for _, info := range r.files.Clients {
		known[info.ID] = true
		if err := r.target.store.PutClient(ctx, info); err != nil {
			return err
		}
	}
	for _, info := range r.target.state.Clients {
		if !known[info.ID] {
			if err := r.target.store.DeleteClient(ctx, info.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
