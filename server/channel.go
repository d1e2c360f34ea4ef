package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// channel is one channel: its stored messages, the tail of them in memory, and its subscriptions.
type channel struct {
	name   string
	event  bool // its messages must be events
	stored *stores.Channel
	store  messageReader
	tail   tail

	progress *progress
	log      *slog.Logger
	// send sends an encoded pb.MsgProto to a subscriber's inbox.
	send func(inbox string, msg []byte)

	// membership serialises joining and leaving, including what they write to the store. It
	// is taken before any other lock.
	membership sync.Mutex

	mu      sync.RWMutex // guards what follows; taken before a group's
	groups  map[*group]struct{}
	keyed   map[groupKey]*group
	byInbox map[string]*member // active members by ack inbox and by data inbox
}

// messageReader is what delivery needs of the store.
type messageReader interface {
	Read(ctx context.Context, ch *stores.Channel, from, to uint64, maxMsgs, maxBytes int) ([]stores.Message, error)
}

// published adds committed messages to the tail and wakes the subscribers.
func (c *channel) published(msgs []stores.Message) {
	c.tail.add(msgs)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for g := range c.groups {
		g.signal()
	}
}

// read returns up to max stored messages with sequences in [from, to], bounded in bytes, from the
// tail if it reaches back that far.
func (c *channel) read(ctx context.Context, from, to uint64, max int) ([]stores.Message, error) {
	if from > to {
		return nil, nil
	}
	if msgs := c.tail.read(from, to, max); msgs != nil {
		return msgs, nil
	}
	msgs, err := c.store.Read(ctx, c.stored, from, to, max, readAheadBytes)
	if err != nil {
		return nil, fmt.Errorf("read %q from %d: %w", c.name, from, err)
	}
	return msgs, nil
}

// lookup returns the messages with the given sequences that are stored. It reads neighbours
// together.
func (c *channel) lookup(ctx context.Context, seqs []uint64) (map[uint64]stores.Message, error) {
	// gap is how many unwanted messages are read rather than asking twice.
	const gap = 16
	seqs = slices.Clone(seqs)
	slices.Sort(seqs)
	found := make(map[uint64]stores.Message, len(seqs))
	for i := 0; i < len(seqs); {
		j := i
		for j+1 < len(seqs) && seqs[j+1]-seqs[j] <= gap {
			j++
		}
		for from, to := seqs[i], seqs[j]; from <= to; {
			msgs, err := c.read(ctx, from, to, readAheadMsgs)
			if err != nil {
				return nil, err
			}
			if len(msgs) == 0 {
				break
			}
			for _, m := range msgs {
				found[m.Sequence] = m
			}
			from = msgs[len(msgs)-1].Sequence + 1
		}
		i = j + 1
	}
	return found, nil
}

// memberByInbox returns the active member with that ack inbox or data inbox, or nil.
func (c *channel) memberByInbox(inbox string) *member {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byInbox[inbox]
}

// group returns the group that the key names, or nil. The zero key names none.
func (c *channel) group(key groupKey) *group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.keyed[key]
}

// attach adds a group.
func (c *channel) attach(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups[g] = struct{}{}
	if g.key != (groupKey{}) {
		c.keyed[g.key] = g
	}
}

// index makes an active member findable by its inboxes, and its group known.
func (c *channel) index(m *member) {
	c.attach(m.group)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byInbox[m.state.AckInbox] = m
	c.byInbox[m.state.Inbox] = m
}

// unindex reverts index, but for the group; it reports false if the member was not indexed.
func (c *channel) unindex(m *member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byInbox[m.state.AckInbox] != m {
		return false
	}
	delete(c.byInbox, m.state.AckInbox)
	if c.byInbox[m.state.Inbox] == m {
		delete(c.byInbox, m.state.Inbox)
	}
	return true
}

// stopAcks ends the subscriptions to ack inboxes.
func (c *channel) stopAcks() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var errs []error
	for inbox, m := range c.byInbox {
		if inbox == m.state.AckInbox {
			errs = append(errs, m.acks.Unsubscribe())
		}
	}
	return errors.Join(errs...)
}

// channels is the registry of channels.
type channels struct {
	store    channelStore
	patterns []string // of event channels
	new      func(stored *stores.Channel) *channel
	log      *slog.Logger
	timeout  time.Duration // of creating one, while the database is unavailable

	creating sync.Mutex   // held while a channel is being created
	mu       sync.RWMutex // guards byName
	byName   map[string]*channel
}

// channelStore is what the registry needs of the store.
type channelStore interface {
	CreateChannel(ctx context.Context, name string) (*stores.Channel, error)
}

func (r *channels) get(name string) *channel {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[name]
}

func (r *channels) all() []*channel {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*channel, 0, len(r.byName))
	for _, c := range r.byName {
		all = append(all, c)
	}
	return all
}

// add makes a stored channel known.
func (r *channels) add(stored *stores.Channel) *channel {
	c := r.new(stored)
	c.event = slices.ContainsFunc(r.patterns, func(p string) bool { return matches(p, c.name) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[c.name] = c
	return c
}

// open returns the channel, creating it if there is none.
func (r *channels) open(ctx context.Context, name string) (*channel, error) {
	if c := r.get(name); c != nil {
		return c, nil
	}
	r.creating.Lock()
	defer r.creating.Unlock()
	if c := r.get(name); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	stored, err := r.store.CreateChannel(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("create channel %q: %w", name, err)
	}
	r.log.Info(fmt.Sprintf("Channel %q has been created", name))
	return r.add(stored), nil
}
