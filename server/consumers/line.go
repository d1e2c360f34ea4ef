package consumers

import (
	"context"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Line is what a group reads: a channel, or the events of all channels that match a pattern. Each message has a place in it: its
// sequence in the channel, or its position among all events. Groups know nothing else about the difference, and call places
// sequences. Equal lines have the same groups.
type Line interface {
	Name() string    // of the channel, or the pattern
	Pattern() string // empty for a channel
	Exists() bool    // false once the channel is deleted
	// Stored returns the channel in the store, nil for a pattern.
	Stored() *stores.Channel
	// Includes reports whether a channel's messages are part of the line.
	Includes(channel string) bool
	Info() stores.ChannelInfo
	MessageBytes() int     // average
	MaxSubscriptions() int // 0: unlimited
	Touch()
	Delays() bool // whether events may ask to be delivered later
	// PlainToSubscribers reports whether clients of NATS Streaming get encrypted values decrypted.
	PlainToSubscribers() bool

	Follow(next uint64) eventlog.Follower
	Place(m *stores.Message) uint64
	// Origin returns the channel of a message of the line.
	Origin(m *stores.Message) *eventlog.Channel
	// Lookup returns the stored messages among those at places.
	Lookup(ctx context.Context, at []uint64) (map[uint64]stores.Message, error)
	// LastReceived returns the place of the last message, or 0.
	LastReceived(ctx context.Context) (uint64, error)
	// PlaceAt returns the place of the first message at or after a time, in ns since 1970, or 0.
	PlaceAt(ctx context.Context, ns int64) (uint64, error)
	// TimestampInMemory returns a message's timestamp and true. If it is not in memory, it returns a later timestamp, or 0, and
	// false. Timestamp returns that of the first message at or after a place, or 0.
	TimestampInMemory(at uint64) (int64, bool)
	Timestamp(ctx context.Context, at uint64) (int64, error)
}

var (
	_ Line = (*eventlog.Channel)(nil)
	_ Line = eventlog.Wildcard{}
)

// Line returns the line with a name that has groups, or that is a channel. It returns nil if there is none.
func (c *Consumers) Line(name string) Line {
	if ch := c.eventlog.Channel(name); ch != nil {
		return ch
	}
	w, err := c.eventlog.Wildcard(name)
	if err != nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.lines[w] == nil {
		return nil
	}
	return w
}

// Wildcards returns the patterns that have groups, in no particular order.
func (c *Consumers) Wildcards() []Line {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var all []Line
	for l := range c.lines {
		if l.Pattern() != "" {
			all = append(all, l)
		}
	}
	return all
}
