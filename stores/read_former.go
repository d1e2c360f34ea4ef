package stores

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/stores/former"
)

// ErrNotFormer means that a database does not hold a SQL store of NATS Streaming as NATS Streaming left it.
var ErrNotFormer = errors.New("the database does not hold a SQL store of NATS Streaming")

const (
	// The tables of NATS Streaming lack the columns that the texts of Recover name.
	formerChannels      = "SELECT id, name, maxseq, (SELECT MIN(seq) FROM Messages WHERE id = c.id), (SELECT MAX(seq) FROM Messages WHERE id = c.id) FROM Channels AS c WHERE deleted = FALSE ORDER BY id"
	formerSubscriptions = "SELECT id, subid, lastsent, proto, NULL FROM Subscriptions WHERE deleted = FALSE ORDER BY subid"
)

// IsFormer reports whether a database has the tables of NATS Streaming, and not those of this server.
func IsFormer(ctx context.Context, o Options) (bool, error) {
	f, err := openFormer(ctx, o)
	if errors.Is(err, ErrNotFormer) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.close()
}

// ReadFormer reads the state of a SQL store of NATS Streaming. It writes nothing and needs only the right to read. No server may be using
// the database, until the caller closes what ReadFormer returns.
func ReadFormer(ctx context.Context, o Options) (_ *former.Store, err error) {
	f, err := openFormer(ctx, o)
	if err != nil {
		return nil, err
	}
	store, err := f.read(ctx)
	if err != nil {
		return nil, errors.Join(openError(o, err), f.close())
	}
	store.Release = f.close
	return store, nil
}

// formerDatabase is a connection to a database of NATS Streaming.
type formerDatabase struct {
	dialect       dialect
	writer, under *sql.DB
	reader        *handle
}

func (f *formerDatabase) close() error {
	err := f.under.Close()
	if f.writer != f.under {
		err = errors.Join(err, f.writer.Close())
	}
	return err
}

func openFormer(ctx context.Context, o Options) (*formerDatabase, error) {
	o = o.withDefaults()
	d, err := newDialect(o)
	if err != nil {
		return nil, err
	}
	if o.Driver == "sqlite" {
		if _, err := os.Stat(o.Source); err != nil { // SQLite would create it
			return nil, fmt.Errorf("open sqlite database: %w", err)
		}
	}
	writer, reader, err := d.open(o)
	if err != nil {
		return nil, openError(o, err)
	}
	f := &formerDatabase{dialect: d, writer: writer, under: reader, reader: &handle{db: reader, timeout: o.StatementTimeout, dialect: d}}
	if err := f.check(ctx); err != nil {
		if !errors.Is(err, ErrNotFormer) {
			err = openError(o, err)
		}
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *formerDatabase) check(ctx context.Context) error {
	version, err := f.dialect.version(ctx, f.reader.db)
	if err != nil {
		return err
	}
	if version > 0 {
		return fmt.Errorf("%w: this server has used it", ErrNotFormer)
	}
	for _, table := range []string{"ServerInfo", "Clients", "Channels", "Messages", "Subscriptions", "SubsPending"} {
		found, err := f.dialect.hasTable(ctx, f.reader, table)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: there is no table %s", ErrNotFormer, table)
		}
	}
	return nil
}

func (f *formerDatabase) read(ctx context.Context) (*former.Store, error) {
	r := &recovery{
		byID: map[int64]int{}, byName: map[string]int64{}, bySub: map[uint64][2]int{},
		began: map[uint64]uint64{}, sent: map[uint64]uint64{}, consumers: map[uint64]*consumerRows{}, homeless: map[uint64]*Subscription{},
	}
	for _, step := range []struct {
		text string
		scan func(*sql.Rows) error
	}{
		{f.dialect.statements().serverInfo, r.server},
		{f.dialect.statements().clients, r.client},
		{formerChannels, r.formerChannel},
		{formerSubscriptions, r.subscription},
		{f.dialect.statements().pendings, r.pending},
	} {
		if err := f.reader.query(ctx, step.text, step.scan); err != nil {
			return nil, unavailable(ctx, err)
		}
	}
	r.finish()
	if len(r.state.Damaged) > 0 {
		return nil, fmt.Errorf("%w: repair or delete the row first", r.state.Damaged[0])
	}
	if r.state.Server == nil {
		return nil, errors.New("its table ServerInfo is empty: no NATS Streaming has served it, or another program is importing into it")
	}
	store := &former.Store{Info: r.state.Server, Clients: r.state.Clients}
	for _, state := range r.state.Channels {
		info := state.Channel.Info()
		c := &former.Channel{Name: state.Channel.Name(), First: info.First, Last: info.Last}
		c.Read = f.messages(state.Channel)
		for _, sub := range state.Subscriptions {
			lastSent := r.sent[sub.State.ID]
			if n := len(sub.Unacked); n > 0 {
				lastSent = max(lastSent, sub.Unacked[n-1])
			}
			sub.State.LastSent = r.began[sub.State.ID]
			c.Subscriptions = append(c.Subscriptions, former.Subscription{State: sub.State, LastSent: lastSent, Unacked: sub.Unacked})
		}
		slices.SortFunc(c.Subscriptions, func(a, b former.Subscription) int { return cmp.Compare(a.State.ID, b.State.ID) })
		store.Channels = append(store.Channels, c)
	}
	slices.SortFunc(store.Channels, func(a, b *former.Channel) int { return strings.Compare(a.Name, b.Name) })
	return store, nil
}

// formerChannel reads a row of formerChannels.
func (r *recovery) formerChannel(rows *sql.Rows) error {
	c := &Channel{}
	var highest, first, last sql.NullInt64
	if err := rows.Scan(&c.id, &c.name, &highest, &first, &last); err != nil {
		return err
	}
	if other, twice := r.byName[c.name]; twice {
		r.damaged("Channels", fmt.Sprintf("id %d", c.id), fmt.Sprintf("channel %d also has the name %q", other, c.name)).Channel = c.name
		return nil
	}
	c.info.First, c.info.Last = uint64(first.Int64), uint64(max(highest.Int64, last.Int64))
	r.byName[c.name] = c.id
	r.byID[c.id] = len(r.state.Channels)
	r.state.Channels = append(r.state.Channels, ChannelState{Channel: c})
	return nil
}

// messages returns former.Channel.Read of a channel.
func (f *formerDatabase) messages(c *Channel) func(context.Context, uint64) ([]*pb.MsgProto, uint64, error) {
	text := f.dialect.plainMessages(false)
	read := ChannelInfo{} // what has been read, from which the size of the next messages is guessed
	return func(ctx context.Context, from uint64) ([]*pb.MsgProto, uint64, error) {
		rows, next, err := readPlain(ctx, f.reader, text, c.id, read, from, c.Info().Last)
		if err != nil {
			return nil, 0, fmt.Errorf("read channel %q from sequence %d: %w", c.name, from, unavailable(ctx, err))
		}
		messages := make([]*pb.MsgProto, len(rows))
		for i, row := range rows {
			m := &pb.MsgProto{}
			if err := m.Unmarshal(row.data); err != nil || m.Sequence != row.sequence {
				return nil, 0, fmt.Errorf("message %d of channel %q is damaged: its column data does not hold it", row.sequence, c.name)
			}
			messages[i] = m
			read.Msgs++
			read.Bytes += uint64(len(row.data))
		}
		return messages, max(next, from+1), nil
	}
}
