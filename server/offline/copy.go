package offline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/server/lease"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// CopyOptions configure Copy.
type CopyOptions struct {
	// Follow goes on while a server leads on the source, until that server has stopped. The source is then marked as moved.
	Follow bool
	Log    func(format string, args ...any) // is told what happens
	// Progress is told how many messages of a phase are done, of how many.
	Progress func(phase string, done, total uint64)
}

// CopyReport says what Copy has copied.
type CopyReport struct {
	ClusterID string
	Channels  int
	Messages  uint64
	Position  uint64         // the last one
	Tables    map[string]int // rows of the other tables
	Level     time.Time      // when the copy was first close behind the source
	Fenced    time.Time      // when the source had stopped; zero without Follow
}

const (
	copyRows  = 2000
	copyBytes = 4 << 20
	// copyPause is how long a copy that follows waits before it looks again.
	copyPause = 100 * time.Millisecond
	// copySnapshot is how long one snapshot of the source is read: a server on SQLite waits for long readers, others keep old rows for them.
	copySnapshot = 5 * time.Second
	// copyLevel is how many messages may be missing when the last snapshot is taken.
	copyLevel = 2000
)

// Copy copies everything that a database of this server holds into another one, and compares the two. A server may lead on the source,
// but not on the target, which must be empty or hold the interrupted part of a copy of the same source, which Copy then continues. No
// server starts on the target until the copy is complete.
func Copy(ctx context.Context, from, to config.Options, o CopyOptions) (*CopyReport, error) {
	events, err := eventlog.NewEvents(to.Events)
	if err != nil {
		return nil, err
	}
	c := &copying{CopyOptions: o, from: from, to: to, events: events, report: &CopyReport{Tables: map[string]int{}}}
	err = c.run(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, errors.New("interrupted: run the command again to continue")
	case errors.Is(err, stores.ErrUnavailable):
		return nil, fmt.Errorf("%w: run the command again to continue", err)
	}
	return c.report, err
}

// copying is one call of Copy.
type copying struct {
	CopyOptions
	from, to config.Options
	events   eventlog.Events
	report   *CopyReport

	source   *stores.Snapshots
	target   *database
	back     *stores.Snapshots // reads the target, to compare
	leader   *sourceLease      // nil without Follow
	channels map[int64]*copiedChannel
	info     *spb.ServerInfo
}

// copiedChannel is how far a channel is.
type copiedChannel struct {
	*stores.Channel
	compared uint64 // the last sequence that is known to be the same on both sides
}

func (c *copying) run(ctx context.Context) (err error) {
	if c.source, err = stores.OpenSnapshots(ctx, c.from.Store); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	defer c.source.Close()
	if err := c.identify(ctx); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if c.Follow {
		if c.leader, err = openSourceLease(ctx, c.from.Store); err != nil {
			return fmt.Errorf("source: %w", err)
		}
		defer func() { err = errors.Join(err, c.leader.close(ctx)) }()
	}
	if c.target, err = openDatabase(ctx, c.to.Store); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer func() { err = errors.Join(err, c.target.close(ctx)) }()
	if c.back, err = stores.OpenSnapshots(ctx, c.to.Store); err != nil {
		return fmt.Errorf("target: %w", err)
	}
	defer c.back.Close()
	if err := c.begin(ctx); err != nil {
		return err
	}
	for level := false; !level; {
		if level, err = c.round(ctx); err != nil {
			return err
		}
	}
	c.report.Level = time.Now()
	if err := c.follow(ctx); err != nil {
		return err
	}
	return c.finish(ctx)
}

// identify reads what the source is.
func (c *copying) identify(ctx context.Context) error {
	return c.read(ctx, c.source, func(ctx context.Context, s *stores.Snapshot) error {
		info, moved, importing, err := s.Server(ctx)
		if err != nil {
			return err
		}
		switch {
		case importing:
			return own(ErrImporting)
		case info == nil:
			return own(errors.New("no server has ever led on this database: there is nothing to copy"))
		case moved:
			c.Log("The source was moved before: its servers do not start. The copy goes on.")
		}
		_, all, err := s.LastPosition(ctx)
		if err == nil && !all {
			err = own(errors.New("events have no positions yet: run nats-streaming-server migrate on the source, or start this release there, first"))
		}
		c.info, c.report.ClusterID = info, info.ClusterID
		return err
	})
}

// begin refuses a target that holds anything but part of this copy.
func (c *copying) begin(ctx context.Context) error {
	state := c.target.state
	c.channels = map[int64]*copiedChannel{}
	switch {
	case state.Moved != nil:
		return errors.New("target: its own store was moved to another database: name an empty one")
	case state.Importing == nil && (state.Server != nil || len(state.Clients) > 0 || len(state.Channels) > 0):
		return errors.New("target: the database is not empty: name an empty one. If a copy into it is complete, start the server on it")
	case state.Importing == nil:
		return c.target.store.BeginImport(ctx, c.info)
	case state.Importing.ClusterID != c.info.ClusterID:
		return fmt.Errorf("target: it holds part of a copy of another store, cluster ID %q: name an empty database", state.Importing.ClusterID)
	}
	for _, ch := range state.Channels {
		c.channels[ch.Channel.ID()] = &copiedChannel{Channel: ch.Channel}
	}
	c.Log("Continuing an interrupted copy.")
	return nil
}

// follow copies what the source's server adds, until that server has stopped.
func (c *copying) follow(ctx context.Context) error {
	if c.leader == nil {
		return nil
	}
	serving, told := false, false
	failing := false
	for {
		fenced, err := c.leader.take(ctx)
		if err == nil && !fenced {
			serving = true
			if !told {
				told = true
				c.Log("Level: stop the server of the source, and its standbys, when you are ready.")
			}
			_, err = c.round(ctx)
		}
		switch {
		case err == nil && fenced:
			c.report.Fenced = time.Now()
			if serving {
				c.Log("The server of the source has stopped: copying the rest.")
			}
			return nil
		case err != nil && (ctx.Err() != nil || !errors.Is(err, stores.ErrUnavailable)):
			return err
		case err != nil && !failing:
			c.Log("The source cannot be read, trying again: %v", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(copyPause):
		}
	}
}

// finish copies what is left, and the state of consumers and clients, from one snapshot.
func (c *copying) finish(ctx context.Context) error {
	err := c.read(ctx, c.source, func(ctx context.Context, s *stores.Snapshot) error {
		channels, err := s.Channels(ctx)
		if err != nil {
			return err
		}
		if err := c.copyAll(ctx, s, channels, time.Time{}); err != nil {
			return err
		}
		for _, from := range channels {
			if err := c.trim(ctx, s, from); err != nil {
				return err
			}
		}
		if c.report.Position, _, err = s.LastPosition(ctx); err != nil {
			return err
		}
		if err := c.target.store.CopyTables(ctx, s, func(table string, rows int) { c.report.Tables[table] = rows }); err != nil {
			return own(err)
		}
		info, _, _, err := s.Server(ctx)
		if err == nil {
			c.info = info
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := c.target.store.ApplyIndexes(ctx); err != nil {
		return fmt.Errorf("event data indexes: %w", err)
	}
	if c.leader != nil {
		if err := c.leader.store.MarkMoved(ctx, c.info); err != nil {
			return fmt.Errorf("source: %w", err)
		}
	}
	return c.target.store.FinishCopy(ctx, c.info, c.report.Position)
}

// ownError is an error that does not come from the database that is read.
type ownError struct{ error }

func (e *ownError) Unwrap() error { return e.error }

func own(err error) error {
	if err == nil {
		return nil
	}
	return &ownError{err}
}

// read calls a function with a snapshot. Its own errors stay what they are.
func (c *copying) read(ctx context.Context, of *stores.Snapshots, read func(context.Context, *stores.Snapshot) error) error {
	var mine *ownError
	err := of.Read(ctx, read)
	if errors.As(err, &mine) {
		return mine.error
	}
	return err
}

// sourceLease takes the lease of the source once its server has stopped: from then on, nothing can be committed there.
type sourceLease struct {
	store *stores.Store
	id    string
	seen  stores.Lease
	since time.Time  // when seen was first seen
	kept  *keptLease // once the lease is ours
}

func openSourceLease(ctx context.Context, o stores.Options) (*sourceLease, error) {
	o.NoMigrate = true
	store, err := stores.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return &sourceLease{store: store, id: stores.NewLeaseID()}, nil
}

// take reports whether the lease is ours. It takes it when its holder has released it, is dead, or has not renewed it for so long that
// a standby would take it.
func (l *sourceLease) take(ctx context.Context) (bool, error) {
	if l.kept != nil {
		return true, nil
	}
	attempt, cancel := context.WithTimeout(ctx, lease.Timeout)
	defer cancel()
	var expired stores.Lease
	if l.seen.Holder != "" && time.Since(l.since) >= lease.Expiry {
		expired = l.seen
	}
	held, now, err := l.store.TryLease(attempt, l.id, expired)
	if err != nil {
		l.since = time.Now() // what was seen before an outage says nothing about who lives after it
		return false, err
	}
	if now != l.seen {
		l.seen, l.since = now, time.Now()
	}
	if held {
		// The fence waits for what a former holder still has in flight.
		if err := l.store.RenewLease(ctx); err != nil {
			return false, err
		}
		l.kept = keepLease(ctx, l.store)
	}
	return held, nil
}

func (l *sourceLease) close(ctx context.Context) error { return closeStore(ctx, l.store, l.kept) }
