package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
)

// Follower is what a server without the lease knows of the database: its channels and the last position, as of the last
// look. It writes nothing, and reads through the connections of the store that opened it.
type Follower struct {
	// Store reads what the follower knows. It has no lease, so it refuses to write.
	Store *Store
	// Server, Importing and Moved are those of State.
	Server, Importing, Moved *spb.ServerInfo

	holder  string    // of the lease, when the database was checked last
	checked time.Time // when that was
	channel int64     // highest ID of a channel seen
	byID    map[int64]*Channel
	closing []*sql.Stmt // prepared for this follower
}

// reloadSpan is how many new events make a look read the rows of all channels, for each of them: finding the channels
// among so many events would take longer.
const reloadSpan = 4

// checkEvery is how often a follower checks the database although the same server holds the lease.
const checkEvery = 30 * time.Second

// errNoOrder means that there are events without a position, which a follower does not notice.
var errNoOrder = fmt.Errorf("%w: there are events without a position: a server of this version must lead, which gives them one", ErrUnavailable)

// Follow reads the channels of a database that another server writes to. Call Look to learn what that server has stored
// since. Follow may run while TryLease does, but not during Recover: Close the follower first.
//
// The error is ErrUnavailable, also while events have no positions, a *SchemaError if the schema is older than this
// program, or ErrTooNew if this program cannot read it.
func (s *Store) Follow(ctx context.Context) (*Follower, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	f := &Follower{byID: map[int64]*Channel{}}
	if err := f.open(ctx, s); err != nil {
		f.Close()
		return nil, s.followError(ctx, err)
	}
	return f, nil
}

func (f *Follower) open(ctx context.Context, s *Store) error {
	if err := checkReadable(ctx, s); err != nil { // before statements are prepared
		return err
	}
	reader, own := *s.reader, *s.own
	if s.prepared == nil { // the schema was older when the store was opened
		prepared, err := prepare(ctx, reader.db, s.text.all())
		for _, stmt := range prepared {
			f.closing = append(f.closing, stmt)
		}
		if err != nil {
			return err
		}
		reader.prepared = prepared
	}
	f.Store = &Store{
		dialect: s.dialect, text: s.text, log: s.log, timeout: s.timeout, options: s.options,
		writer: s.writer, reader: &reader, own: &own, heads: newHeadCache(0),
		byName: map[string]*Channel{}, progressed: map[uint64]struct{}{},
	}
	var identity recovery
	if err := own.query(ctx, s.text.serverInfo, identity.server); err != nil {
		return err
	}
	f.Server, f.Importing, f.Moved = identity.state.Server, identity.state.Importing, identity.state.Moved
	end, err := f.end(ctx)
	if err != nil {
		return err
	}
	if err := f.check(ctx); err != nil {
		return err
	}
	f.holder = end.holder
	_, err = f.advance(ctx, end, nil, s.text.channels)
	return err
}

// check returns an error if the follower cannot go on: another server may have migrated the schema, or be of an older
// version, which gives no positions.
func (f *Follower) check(ctx context.Context) error {
	if err := checkReadable(ctx, f.Store); err != nil {
		return err
	}
	f.checked = time.Now()
	return f.Store.own.query(ctx, f.Store.text.lateChannels, func(*sql.Rows) error { return errNoOrder })
}

// checkReadable returns an error unless this program can read the schema of the database as it is.
func checkReadable(ctx context.Context, s *Store) error {
	o := s.options
	o.NoMigrate = true
	_, err := schemaToServe(ctx, s.dialect, s.reader.db, o)
	return err
}

// logEnd is the end of the log at one time.
type logEnd struct {
	holder   string
	position uint64
	channel  int64 // highest ID
}

func (f *Follower) end(ctx context.Context) (logEnd, error) {
	var end logEnd
	var holder sql.NullString
	var position, channel sql.NullInt64
	found := 0
	err := f.Store.own.query(ctx, f.Store.text.logEnd, func(rows *sql.Rows) error {
		found++
		return rows.Scan(&holder, &position, &channel)
	})
	switch {
	case err != nil:
		return end, err
	case found != 1:
		return end, fmt.Errorf("%w: table StoreLock has %d rows, not 1", errCorrupt, found)
	case !position.Valid:
		return end, errNoOrder
	}
	return logEnd{holder.String, uint64(position.Int64), channel.Int64}, nil
}

// Look reads what was stored since the last look: one row if nothing was. It returns the channels that have new events
// or are new, by ID. They and Store.Position are then as of a time after Look began. known, if not nil, is called with
// the channels before Store.Position moves.
//
// The error is ErrUnavailable after which Look may be called again, ErrRewound if the database was set back, or one of
// Follow's. After the latter, the follower is of no use.
func (f *Follower) Look(ctx context.Context, known func([]*Channel)) ([]*Channel, error) {
	changed, err := f.look(ctx, known)
	if err != nil {
		return nil, f.Store.followError(ctx, err)
	}
	return changed, nil
}

func (f *Follower) look(ctx context.Context, known func([]*Channel)) ([]*Channel, error) {
	end, err := f.end(ctx)
	if err != nil {
		return nil, err
	}
	if end.holder != f.holder || time.Since(f.checked) > checkEvery {
		if err := f.check(ctx); err != nil {
			return nil, err
		}
		f.holder = end.holder
	}
	seen := f.Store.Position()
	switch {
	case end.position < seen:
		return nil, fmt.Errorf("%w: the log is at position %d after %d", ErrRewound, end.position, seen)
	case end.position-seen > reloadSpan*uint64(len(f.byID)+1):
		return f.advance(ctx, end, known, f.Store.text.channels)
	case end.position > seen || end.channel > f.channel:
		return f.advance(ctx, end, known, f.Store.text.changedChannels,
			seen, end.position, end.position-seen, f.channel, end.channel, max(0, end.channel-f.channel))
	}
	f.channel = end.channel
	return nil, nil
}

// channelRow is what the database says of a channel.
type channelRow struct {
	id   int64
	name string
	info channelState
}

// advance reads the rows of channels and moves to the end of the log.
func (f *Follower) advance(ctx context.Context, end logEnd, known func([]*Channel), text string, args ...any) ([]*Channel, error) {
	var rows []channelRow // an error must not leave some of them behind, whose readers would not be woken
	err := f.Store.own.query(ctx, text, func(r *sql.Rows) error {
		var c channelRow
		err := scanChannel(r, &c.id, &c.name, &c.info)
		var damaged *DamagedError
		switch {
		case errors.As(err, &damaged): // what is known of it stays
			f.Store.log.Error("the row of a channel is damaged, reading what was known before", "channel", c.name, "error", damaged)
		case err != nil:
			return err
		case c.name != "": // otherwise it was deleted meanwhile
			rows = append(rows, c)
		}
		return nil
	}, args...)
	if err != nil {
		return nil, err
	}
	var changed []*Channel
	for _, row := range rows {
		if c := f.update(row); c != nil {
			changed = append(changed, c)
		}
	}
	f.channel = end.channel
	if known != nil {
		known(changed)
	}
	f.Store.setOrder(order{position: end.position})
	return changed, nil
}

// update returns the channel of a row, or nil if it is as it was.
func (f *Follower) update(row channelRow) *Channel {
	c := f.byID[row.id]
	if c == nil || c.name != row.name { // the ID of a deleted channel may come again
		f.Store.mu.Lock()
		defer f.Store.mu.Unlock()
		if c != nil {
			delete(f.Store.byName, c.name)
		}
		c = &Channel{id: row.id, name: row.name, info: row.info}
		f.byID[row.id], f.Store.byName[row.name] = c, c
		return c
	}
	if c.state() == row.info {
		return nil
	}
	c.setState(row.info)
	return c
}

// followError is readError, except for errors that are not an outage.
func (s *Store) followError(ctx context.Context, err error) error {
	var behind *SchemaError
	if errors.Is(err, ErrTooNew) || errors.Is(err, ErrFenced) || errors.Is(err, ErrUnavailable) || errors.As(err, &behind) {
		return fmt.Errorf("follow: %w", err)
	}
	return s.readError(ctx, fmt.Errorf("follow: %w", err))
}

// Channels returns the channels of the last look, by ID.
func (f *Follower) Channels() []*Channel {
	all := make([]*Channel, 0, len(f.byID))
	for _, c := range f.byID {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Channel) int { return int(a.id - b.id) })
	return all
}

// Close ends the follower, whose Store is of no use from then on. The connections stay open.
func (f *Follower) Close() {
	if f.Store != nil {
		f.Store.closed.Store(true)
	}
	for _, stmt := range f.closing {
		_ = stmt.Close() // an error means that the connection is lost, and the statement with it
	}
}
