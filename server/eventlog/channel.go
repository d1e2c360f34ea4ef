package eventlog

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Channel is a channel of the log.
type Channel struct {
	name     string
	log      *Log
	stored   *stores.Channel
	block    *Block
	limits   ChannelLimits
	versions stores.Versions
	copies   []*CopyRoute
	checks   []func(*proto.Event, []byte) error // fixed before others see the channel

	tail     tail
	window   window
	deleted  atomic.Bool
	active   atomic.Int64   // time of the last publish or Touch, on the clock of monotonic
	warned   atomic.Bool    // logged that the limits remove messages
	oldest   stores.Message // sequence and timestamp of the oldest message; only retention uses it
	watchers watchers
}

// Name returns the channel's name.
func (c *Channel) Name() string { return c.name }

// Stored returns the channel in the store. It may still hold messages that the limits have removed.
func (c *Channel) Stored() *stores.Channel { return c.stored }

// Events returns the block of an event channel, or nil.
func (c *Channel) Events() *Block { return c.block }

// Mapping tells how to read events from messages. It is nil if messages are eventstore.v1.Event, or if the channel is
// not an event channel.
func (c *Channel) Mapping() *proto.Mapping {
	if c.block == nil {
		return nil
	}
	return c.block.Mapping
}

// Versions returns which event_version the channel accepts.
func (c *Channel) Versions() stores.Versions { return c.versions }

// Limits returns the channel's limits. Zero means unlimited.
func (c *Channel) Limits() ChannelLimits { return c.limits }

// AddCheck adds a function that can refuse events before they are stored. Only Options.Added may call it.
func (c *Channel) AddCheck(check func(*proto.Event, []byte) error) {
	c.checks = append(c.checks, check)
}

// Deleted reports whether the channel was deleted.
func (c *Channel) Deleted() bool { return c.deleted.Load() }

// Info describes the channel without messages that the limits have removed.
func (c *Channel) Info() stores.ChannelInfo {
	info := c.stored.Info()
	if !c.limits.prunes() {
		return info
	}
	return c.window.view(info, c.limits)
}

// first returns the lowest sequence that a reader may see.
func (c *Channel) first() uint64 {
	info := c.Info()
	if info.First == 0 {
		return info.Last + 1
	}
	return info.First
}

// Watch calls wake after each commit to the channel, when the channel is deleted, and after an outage, when messages
// may have been stored unnoticed. wake must not block, nor call Watch or stop.
func (c *Channel) Watch(wake func()) (stop func()) { return c.watchers.watch(wake) }

func (c *Channel) wake() { c.watchers.wake() }

// committed adds committed messages to the tail, enforces the limits and wakes watchers. Only the writer calls it.
func (c *Channel) committed(msgs []stores.Message) {
	remember(c.log.tails, &c.tail, msgs)
	c.Touch()
	c.enforce()
	c.wake()
}

// enforce removes messages over the limits as far as memory can tell which. Retention does the rest.
func (c *Channel) enforce() {
	if c.limits.MaxMsgs <= 0 && c.limits.MaxBytes <= 0 {
		return
	}
	info := c.stored.Info()
	if now := c.window.view(info, ChannelLimits{}); viewed(now).over(c.limits) {
		c.warnLimits(now)
		first, kept := c.window.enforce(info, c.limits, c.sizeOf)
		if first > 1 {
			c.log.tails.forget(&c.tail, first-1)
		}
		if !kept {
			c.log.retention.schedule(c, true)
			return
		}
	}
	if first := c.window.firstRemaining(); info.First > 0 && first > info.First {
		c.log.retention.schedule(c, first-info.First >= pruneAtOnce)
	}
}

func (c *Channel) warnLimits(info stores.ChannelInfo) {
	if c.warned.CompareAndSwap(false, true) {
		c.log.log.Warn(fmt.Sprintf("Reached limits for store %q (msgs=%d/%d bytes=%d/%d), dropping old messages to make room for new ones",
			c.name, info.Msgs, c.limits.MaxMsgs, info.Bytes, c.limits.MaxBytes))
	}
}

// Touch restarts the inactivity period after which the channel is deleted.
func (c *Channel) Touch() { c.active.Store(int64(monotonic())) }

// inactiveFor reports whether the last publish or Touch is at least d ago.
func (c *Channel) inactiveFor(d time.Duration) bool {
	return monotonic()-time.Duration(c.active.Load()) >= d
}

// remaining drops messages that the limits have removed since they were read. It modifies msgs.
func (c *Channel) remaining(msgs []stores.Message) []stores.Message {
	if len(msgs) == 0 || !c.limits.prunes() {
		return msgs
	}
	first := c.first()
	n, _ := slices.BinarySearchFunc(msgs, first, func(m stores.Message, seq uint64) int {
		switch {
		case m.Sequence < seq:
			return -1
		case m.Sequence > seq:
			return 1
		}
		return 0
	})
	return msgs[n:]
}

// gone returns why the channel cannot be read any more, or nil.
func (c *Channel) gone() error {
	if c.Deleted() {
		return ErrChannelDeleted
	}
	return nil
}

// last returns the last sequence that was assigned.
func (c *Channel) last() uint64 { return c.stored.Info().Last }

// recent implements readable.
func (c *Channel) recent(from, to uint64, max int) (page[stores.Message], bool) {
	msgs := c.tail.read(from, to, max)
	if msgs == nil {
		return page[stores.Message]{}, false
	}
	return pageOf(within(bySequence{}, msgs, batchBytes), from), true
}

func (c *Channel) reaches(seq uint64) bool { return c.tail.reaches(seq) }

// pageOf returns a page that ends with its last message.
func pageOf(msgs []stores.Message, from uint64) page[stores.Message] {
	if len(msgs) == 0 {
		return page[stores.Message]{through: from - 1}
	}
	return page[stores.Message]{msgs: msgs, through: msgs[len(msgs)-1].Sequence}
}

// load waits for its turn, then reads messages in [from, to] from the database. They include messages that the limits
// have removed.
func (c *Channel) load(ctx context.Context, from, to uint64, maxMsgs, maxBytes int) (page[stores.Message], error) {
	done, err := c.log.reading.turn(ctx)
	if err != nil {
		return page[stores.Message]{}, err
	}
	defer done()
	if err := c.gone(); err != nil {
		return page[stores.Message]{}, err
	}
	msgs, err := c.log.store.Read(ctx, c.stored, from, to, maxMsgs, maxBytes)
	if err != nil {
		c.log.damage.Note(err)
		return page[stores.Message]{}, fmt.Errorf("read %q from %d: %w", c.name, from, err)
	}
	c.log.metrics.Replayed(len(msgs))
	if len(msgs) == 0 {
		return page[stores.Message]{through: to}, nil // the last sequences are missing
	}
	return pageOf(msgs, from), nil
}

// Lookup returns the stored messages among seqs.
func (c *Channel) Lookup(ctx context.Context, seqs []uint64) (map[uint64]stores.Message, error) {
	return lookup[stores.Message, bySequence](ctx, c, seqs)
}

// Follow returns a cursor at sequence next, or at the first later message if that one is gone. The caller closes it.
func (c *Channel) Follow(next uint64) Follower { return channelFollower{c.Cursor(next)} }

// Pattern returns "": the channel is one.
func (c *Channel) Pattern() string { return "" }

// Exists reports whether the log has the channel.
func (c *Channel) Exists() bool { return c.log.Channel(c.name) == c }

// Includes reports whether the channel has that name.
func (c *Channel) Includes(name string) bool { return c.name == name }

// Place returns a message's sequence.
func (c *Channel) Place(m *stores.Message) uint64 { return m.Sequence }

// Origin returns the channel itself.
func (c *Channel) Origin(*stores.Message) *Channel { return c }

// MaxSubscriptions bounds the channel's subscriptions; 0 means unlimited.
func (c *Channel) MaxSubscriptions() int { return c.limits.MaxSubscriptions }

// MessageBytes returns the average size of a message.
func (c *Channel) MessageBytes() int {
	info := c.Info()
	return int(info.Bytes / max(info.Msgs, 1))
}

// LastReceived returns the sequence of the last message, or 0 without one.
func (c *Channel) LastReceived(context.Context) (uint64, error) {
	info := c.Info()
	if info.Msgs == 0 {
		return 0, nil
	}
	return info.Last, nil
}

// PlaceAt is SequenceAt.
func (c *Channel) PlaceAt(ctx context.Context, ns int64) (uint64, error) {
	return c.SequenceAt(ctx, ns)
}

// SequenceAt returns the sequence of the first message with a timestamp of ns (since 1970) or later, or 0 without one.
func (c *Channel) SequenceAt(ctx context.Context, ns int64) (uint64, error) {
	seq, err := c.log.store.SequenceAt(ctx, c.stored, ns)
	if err != nil || seq == 0 {
		return 0, err
	}
	if seq = max(seq, c.first()); seq > c.stored.Info().Last {
		return 0, nil
	}
	return seq, nil
}

// TimestampInMemory returns a message's timestamp and true. If it is not in memory, it returns a later timestamp, or 0,
// and false.
func (c *Channel) TimestampInMemory(seq uint64) (int64, bool) {
	m, found := c.tail.get(seq)
	return m.Timestamp, found
}

// sizeOf is a sizer for the messages in memory.
func (c *Channel) sizeOf(seq uint64) (bytes int, next uint64, ok bool) {
	msgs := c.tail.read(seq, seq+1, 2)
	if len(msgs) < 2 {
		return 0, 0, false
	}
	return len(msgs[0].Data), seq + 1, true
}

// Timestamp returns the timestamp of the first message at or after a sequence, or 0 without one.
func (c *Channel) Timestamp(ctx context.Context, seq uint64) (int64, error) {
	if at, exact := c.TimestampInMemory(seq); exact {
		return at, nil
	}
	msgs, err := c.log.store.Read(ctx, c.stored, max(seq, c.first()), c.stored.Info().Last, 1, 1)
	if err != nil || len(msgs) == 0 {
		return 0, err
	}
	return msgs[0].Timestamp, nil
}
