package offline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// errOtherImport refuses a database that holds something else.
var errOtherImport = errors.New("the database holds part of another import: import into an empty one")

// target is the database that the content of NATS Streaming goes into. Until finish, no server starts on it.
type target struct {
	o      config.Options
	report int
	events eventlog.Events
	out    *progressLines

	db       *database
	channels map[string]*filling
	resumed  bool

	messages, subscriptions, unacked, clients int // that finish tells
}

func newTarget(o config.Options, report int, out io.Writer) (*target, error) {
	events, err := eventlog.NewEvents(o.Events)
	if err == nil && events.Encrypt() {
		err = errors.New("encrypt: an import stores messages as they are, so they would stay readable: leave encrypt out for the import, or publish them through a server")
	}
	if err != nil {
		return nil, err
	}
	return &target{o: o, report: report, events: events, out: &progressLines{to: out}, channels: map[string]*filling{}}, nil
}

func (t *target) open(ctx context.Context) (err error) {
	t.db, err = openDatabase(ctx, t.o.Store)
	return err
}

func (t *target) close(ctx context.Context) error { return t.db.close(ctx) }

// begin marks the database as an incomplete import. It refuses one that holds anything else than part of an import from the same cluster ID.
func (t *target) begin(ctx context.Context, info *spb.ServerInfo) error {
	state := t.db.state
	if state.Importing == nil {
		if state.Server != nil && state.Server.ClusterID == info.ClusterID && info.ClusterID != "" {
			return fmt.Errorf("the database is not empty: it holds a complete store of cluster %q. If that is this copy, start the server on it; otherwise import into an empty one", info.ClusterID)
		}
		if state.Server != nil || len(state.Clients) > 0 || len(state.Channels) > 0 {
			return errors.New("the database is not empty: import into an empty one")
		}
		return t.db.store.BeginImport(ctx, info)
	}
	if state.Importing.ClusterID != info.ClusterID {
		return errOtherImport
	}
	for _, c := range state.Channels {
		t.add(c.Channel).subscribed = len(c.Subscriptions)+len(c.Consumers) > 0
	}
	t.resumed = true
	t.out.line("Continuing an interrupted import.")
	return nil
}

func (t *target) add(c *stores.Channel) *filling {
	f := &filling{c: c, left: leftovers{limit: t.report}}
	t.channels[c.Name()] = f
	return f
}

// channel returns a channel, which it creates if it is missing.
func (t *target) channel(ctx context.Context, name string) (*filling, error) {
	if f := t.channels[name]; f != nil {
		return f, nil
	}
	if err := validName(name); err != nil {
		return nil, err
	}
	c, err := t.db.store.CreateChannel(ctx, name)
	if err != nil {
		return nil, err
	}
	return t.add(c), nil
}

func validName(channel string) error {
	if !eventlog.ValidChannel(channel) {
		return fmt.Errorf("channel %q: this server does not accept the name", channel)
	}
	return nil
}

// stored returns the message of a channel with a sequence, or nil.
func (t *target) stored(ctx context.Context, c *stores.Channel, sequence uint64) (*pb.MsgProto, error) {
	stored, err := t.db.store.Read(ctx, c, sequence, sequence, 1, former.BatchBytes)
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	m := &pb.MsgProto{}
	if err := m.Unmarshal(stored[0].Data); err != nil {
		return nil, fmt.Errorf("message %d of channel %q is damaged: %w", sequence, c.Name(), err)
	}
	return m, nil
}

// same reports whether two messages with one sequence are the same one.
func same(a, b *pb.MsgProto) bool {
	return a.Timestamp == b.Timestamp && a.Reply == b.Reply && bytes.Equal(a.Data, b.Data)
}

// takeAll takes what the database does not have yet. It refuses a store that does not continue what the database holds.
func (t *target) takeAll(ctx context.Context, from *former.Store) error {
	if err := t.check(ctx, from); err != nil {
		return err
	}
	for _, c := range from.Channels {
		if err := t.take(ctx, c); err != nil {
			return err
		}
	}
	// An interrupted run may have left part of the subscriptions, so all of them are written again.
	t.subscriptions, t.unacked = 0, 0
	for _, c := range from.Channels {
		if err := t.subscribe(ctx, c); err != nil {
			return err
		}
	}
	return t.putClients(ctx, from)
}

// check compares the last message of each channel with that of the store.
func (t *target) check(ctx context.Context, from *former.Store) error {
	known := map[string]*former.Channel{}
	for _, c := range from.Channels {
		known[c.Name] = c
	}
	proved := false
	var gone []*stores.Channel
	for name, f := range t.channels {
		last := f.c.Info().Last
		if last == 0 {
			continue
		}
		c := known[name]
		if c == nil {
			gone = append(gone, f.c)
			continue
		}
		common := min(last, c.Last)
		ours, err := t.stored(ctx, f.c, common)
		if err != nil {
			return err
		}
		var theirs []*pb.MsgProto
		if common > 0 {
			if theirs, _, err = c.Read(ctx, common); err != nil {
				return err
			}
		}
		proves := ours != nil && len(theirs) > 0 && theirs[0].Sequence == common
		switch {
		case proves && !same(ours, theirs[0]):
			return fmt.Errorf("message %d of channel %q is not the one that was copied before. %w", common, name, errOtherImport)
		case last > c.Last && !proves:
			return fmt.Errorf("channel %q ends at sequence %d, and the database has its message %d: this is another store, or an older state of it. %w", name, c.Last, last, errOtherImport)
		case last > c.Last: // a crash of its machine
			t.out.line("Channel %q: the old server has lost the messages from %d to %d. They were copied before, and are kept.", name, c.Last+1, last)
		case !proves:
			continue // a missing message proves nothing
		}
		proved = true
	}
	if len(gone) > 0 && !proved {
		return errOtherImport
	}
	for _, c := range gone { // for want of activity, since an earlier run
		t.out.line("Channel %q is no longer in the store. Its %d messages are kept.", c.Name(), c.Info().Msgs)
		if err := t.db.store.DeleteSubscriptions(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// take takes a channel's messages from where the database ends.
func (t *target) take(ctx context.Context, from *former.Channel) error {
	f, err := t.channel(ctx, from.Name)
	if err != nil {
		return err
	}
	for next := max(from.First, f.c.Info().Last+1); next <= from.Last; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		batch, following, err := from.Read(ctx, next)
		if err != nil {
			return err
		}
		next = following
		if err := t.db.store.Restore(ctx, f.c, batch, min(next-1, from.Last)); err != nil {
			return err
		}
		t.out.progress("Channel %q: imported sequence %d of %d.", from.Name, next-1, from.Last)
	}
	return f.fill(ctx, t.db.store, t.events, t.o.Versions, t.out)
}

// subscribe imports a channel's subscriptions and their progress.
func (t *target) subscribe(ctx context.Context, from *former.Channel) error {
	f := t.channels[from.Name]
	if !f.subscribed && len(from.Subscriptions) == 0 {
		return nil // publishers may be waiting, and there may be many channels
	}
	f.subscribed = true
	store, c := t.db.store, f.c
	if err := store.DeleteSubscriptions(ctx, c); err != nil {
		return err
	}
	var progress []stores.Progress
	for i, sub := range from.Subscriptions {
		if isCopier(sub.State.ClientID) {
			continue
		}
		state := *sub.State
		if err := store.CreateSubscription(ctx, c, &state); err != nil {
			return err
		}
		progress = append(progress, stores.Progress{Subscription: state.ID, LastSent: sub.LastSent, Unacked: sub.Unacked})
		t.unacked += len(sub.Unacked)
		t.out.progress("Channel %q: imported %d of %d subscriptions.", from.Name, i+1, len(from.Subscriptions))
	}
	t.subscriptions += len(progress)
	return store.SaveProgress(ctx, progress)
}

// putClients imports the clients, and removes those that an interrupted run left.
func (t *target) putClients(ctx context.Context, from *former.Store) error {
	known := map[string]bool{}
	var put []*spb.ClientInfo
	for _, info := range from.Clients {
		if !isCopier(info.ID) {
			known[info.ID] = true
			put = append(put, info)
		}
	}
	var gone []string
	for _, info := range t.db.state.Clients {
		if !known[info.ID] {
			gone = append(gone, info.ID)
		}
	}
	t.clients = len(put)
	t.db.state.Clients = put
	return t.db.store.SaveClients(ctx, put, gone)
}

// finish makes the database one that a server starts on.
func (t *target) finish(ctx context.Context, from *former.Store) error {
	all := make([]*filling, 0, len(t.channels))
	for _, f := range t.channels {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *filling) int { return strings.Compare(a.c.Name(), b.c.Name()) })
	t.messages = 0
	for _, f := range all {
		t.messages += int(f.c.Info().Msgs)
		t.out.line("Channel %q: %d messages, last sequence %d.", f.c.Name(), f.c.Info().Msgs, f.c.Info().Last)
		f.print(t.out)
	}
	if err := t.db.store.ApplyIndexes(ctx); err != nil {
		return fmt.Errorf("event data indexes: %w", err)
	}
	if err := t.db.store.SetServerInfo(ctx, from.Info); err != nil {
		return err
	}
	t.out.line("Imported %d channels, %d messages, %d subscriptions with %d unacknowledged messages, %d clients.",
		len(all), t.messages, t.subscriptions, t.unacked, t.clients)
	if id := from.Info.ClusterID; id != cmp.Or(t.o.ClusterID, id) {
		t.out.line("Start the server with -cluster_id %s, that of the store.", id)
	}
	if from.OnlyMessages {
		t.out.line("The store belongs to a cluster node, which holds only messages: clients must subscribe again.")
	}
	return nil
}
