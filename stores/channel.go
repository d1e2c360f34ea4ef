package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// Channel is a channel of the store. CreateChannel and Recover return one value per channel, which is valid until the
// next Recover.
type Channel struct {
	name string
	id   int64 // Channels.id and Messages.id

	mu   sync.Mutex // guards info
	info channelState
}

// channelState is what memory knows about a channel.
type channelState struct {
	ChannelInfo
	// maxseq is the Last in the channel's row; recovery may raise the Last in memory above it. Each batch asserts it.
	maxseq uint64
	// damaged says why the channel is out of service; nil if it is in service.
	damaged error
}

// ChannelInfo is the content of a channel, as of its last commit.
type ChannelInfo struct {
	First    uint64 // sequence of the first message; 0 if the channel is empty
	Last     uint64 // highest sequence assigned, even if that message is gone
	Msgs     uint64
	Bytes    uint64 // of the encoded messages
	LastTime int64  // timestamp of the last message, ns since 1970; later messages never have an earlier one
}

// Name returns the channel's name.
func (c *Channel) Name() string { return c.name }

// ID returns the ID of the channel's row. A channel created later has a higher one.
func (c *Channel) ID() int64 { return c.id }

// Info returns a consistent snapshot.
func (c *Channel) Info() ChannelInfo { return c.state().ChannelInfo }

func (c *Channel) state() channelState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

func (c *Channel) setState(info channelState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info = info
}

// advance is the effect of a batch on one channel.
type advance struct {
	channel *Channel
	before  uint64 // channelState.maxseq
	from    uint64 // first sequence that the batch assigns
	last    uint64
	msgs    uint64
	bytes   uint64
	time    int64 // timestamp of the last message
}

// committed applies the committed advance to the channel's state.
func (a *advance) committed() {
	c := a.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.msgs > 0 && (c.info.Msgs == 0 || c.info.First == 0) {
		c.info.First = a.from
	}
	c.info.Last, c.info.maxseq = a.last, a.last
	c.info.Msgs += a.msgs
	c.info.Bytes += a.bytes
	c.info.LastTime = a.time
}

// newAdvance begins at a channel's current state.
func newAdvance(c *Channel) *advance {
	info := c.state()
	return &advance{channel: c, before: info.maxseq, last: info.Last, time: info.LastTime}
}

// add counts a row that is stored next.
func (a *advance) add(r *row) {
	if a.from == 0 {
		a.from = r.sequence
	}
	a.last, a.time = r.sequence, r.timestamp
	a.msgs++
	a.bytes += uint64(len(r.data))
}

// advanceChannels calls the dialect's method and finds out why it refused.
func (s *Store) advanceChannels(ctx context.Context, t *transaction, advances []*advance) error {
	err := s.dialect.advanceChannels(ctx, t, advances)
	if !errors.Is(err, errNotAdvanced) {
		return err
	}
	for _, a := range advances {
		var now channelState
		found := false
		err := t.query(ctx, s.text.channel, func(rows *sql.Rows) error {
			found = true
			var id int64
			return scanChannel(rows, &id, nil, &now)
		}, a.channel.id)
		switch damaged := (*DamagedError)(nil); {
		case errors.As(err, &damaged):
			return &txError{kind: failedRefused, err: err}
		case err != nil:
			return err
		case !found:
			return noChannelRow(a.channel)
		case now.maxseq < a.before:
			return s.rewound(fmt.Sprintf("channel %q", a.channel.name), "sequence", a.before, now.maxseq)
		case now.maxseq != a.before && now.maxseq != a.last: // a.last: this transaction has just advanced it
			return &txError{kind: failedUnique, err: fmt.Errorf("channel %q was advanced by someone other than this server", a.channel.name)}
		}
	}
	return &txError{kind: failedUnique, err: errNotAdvanced} // by now it is where memory expects it; plan again
}

// rewound gives up the lease, and with it what memory knows, and returns the reason.
func (s *Store) rewound(what, unit string, before, now uint64) error {
	err := fmt.Errorf("%w: %s is at %s %d after %d", ErrRewound, what, unit, now, before)
	s.loseLease(err)
	return err
}

// Channel returns the channel with a name, or nil.
func (s *Store) Channel(name string) *Channel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name]
}

// isKnown reports whether this store returned the channel since its last Recover.
func (s *Store) isKnown(c *Channel) bool {
	return c != nil && s.Channel(c.name) == c
}

// reload reads the state of channels again. A channel whose row is damaged goes out of service; the others do not.
func (s *Store) reload(ctx context.Context, q querier, channels []*Channel) error {
	for _, c := range channels {
		if err := s.reloadFrom(ctx, q, c, s.text.channel, c.id); err != nil {
			return err
		}
	}
	return nil
}

// reloadAfter is reload of a channel whose messages up to a sequence were removed.
func (s *Store) reloadAfter(ctx context.Context, q querier, c *Channel, removed uint64) error {
	return s.reloadFrom(ctx, q, c, s.text.channelAfter, int64(removed), c.id)
}

// reloadFrom reads the state of a channel with a text.
func (s *Store) reloadFrom(ctx context.Context, q querier, c *Channel, text string, args ...any) error {
	found := false
	err := q.query(ctx, text, func(rows *sql.Rows) error {
		var id int64
		var info channelState
		if err := scanChannel(rows, &id, nil, &info); err != nil {
			return err
		}
		found = true
		before := c.state()
		if info.maxseq < before.maxseq {
			return s.rewound(fmt.Sprintf("channel %q", c.name), "sequence", before.maxseq, info.maxseq)
		}
		// Keep what only subscriptions remember, or a message that is gone.
		info.Last, info.LastTime = max(info.Last, before.Last), max(info.LastTime, before.LastTime)
		c.setState(info)
		return nil
	}, args...)
	if err == nil && !found {
		err = &DamagedError{Table: "Channels", Key: fmt.Sprintf("id %d", c.id), Reason: "it is missing"}
	}
	var damaged *DamagedError
	switch {
	case errors.As(err, &damaged):
		damaged.Channel = c.name
		s.log.Error("channel is out of service", "channel", c.name, "error", damaged)
		c.damage(damaged)
	case err != nil:
		return fmt.Errorf("reload channel %q: %w", c.name, err)
	}
	return nil
}

// damage takes a channel out of service: its messages are refused with err.
func (c *Channel) damage(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info.damaged = err
}

// scanChannel scans a row of statements.channels, or of statements.channel if name is nil. It returns a *DamagedError
// if no server can have written the counters; id and name are then set.
func scanChannel(rows *sql.Rows, id *int64, name *string, info *channelState) error {
	var maxseq, msgs, bytes, first, last, lastTime sql.NullInt64
	to := []any{id, name, &maxseq, &msgs, &bytes, &first, &last, &lastTime}
	if name == nil {
		to = append(to[:1], to[2:]...)
	}
	damaged := &DamagedError{Table: "Channels"}
	if err := rows.Scan(to...); err != nil && !isWrongType(rows, err) {
		return err
	} else if err != nil {
		damaged.Reason = err.Error()
	} else if !maxseq.Valid || !msgs.Valid || !bytes.Valid || min(maxseq.Int64, msgs.Int64, bytes.Int64, first.Int64, last.Int64) < 0 {
		damaged.Reason = "maxseq, msgs or bytes is NULL or negative, or a message has a negative seq"
	}
	if damaged.Reason != "" {
		damaged.Key = fmt.Sprintf("id %d", *id)
		if name != nil {
			damaged.Channel = *name
		}
		return damaged
	}
	info.Msgs, info.Bytes = uint64(msgs.Int64), uint64(bytes.Int64)
	info.First = uint64(first.Int64)
	info.maxseq = uint64(maxseq.Int64)
	info.Last = uint64(max(maxseq.Int64, last.Int64))
	info.LastTime = lastTime.Int64
	return nil
}
