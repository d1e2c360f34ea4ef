package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/server/relay"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// channel is one channel: its stored messages, the tail of them in memory, and its subscriptions.
type channel struct {
	name    string
	events  *eventBlock // how its messages must be events; nil if it is no event channel
	limits  ChannelLimits
	stored  *stores.Channel
	store   messageReader
	tail    tail
	tails   *tails   // of all channels
	reading *reading // of all channels
	pace    *pacing  // of all channels

	versions stores.Versions // which event_version its events may carry
	routes   []*Route        // of its events to other channels
	relays   []*relay.Relay  // of its events to streams

	damage  *damage
	refused map[groupKey]error // durables and queue groups that are out of service; not changed after the recovery

	warned bool           // about messages over the limits; used by the writer's goroutine
	first  stores.Message // the first message's sequence and timestamp; used by the goroutine of retention
	active atomic.Int64   // on the clock of monotonic: the last publish or end of an active subscription

	progress *progress
	log      *slog.Logger
	metrics  *metrics
	// send sends an encoded pb.MsgProto to a subscriber's inbox.
	send func(inbox string, msg []byte)

	// membership serialises joining, leaving and deleting the channel, including what they write to the
	// store. It is taken before any other lock, and guards deleted.
	membership sync.Mutex
	deleted    bool

	mu     sync.RWMutex // guards what follows; taken before a group's
	groups map[*group]struct{}
	keyed  map[groupKey]*group
	// watchers are woken with the groups.
	watchers map[chan struct{}]struct{}
	// Active members by ack inbox, which is the server's choice, and by data inbox, which is the client's: two maps, so that no
	// client's choice hides another one's ack inbox.
	byAckInbox map[string]*member
	byInbox    map[string]*member
}

// messageReader is what delivery needs of the store.
type messageReader interface {
	Read(ctx context.Context, ch *stores.Channel, from, to uint64, maxMsgs, maxBytes int) ([]stores.Message, error)
}

// published adds committed messages to the tail and wakes the subscribers.
func (c *channel) published(msgs []stores.Message) {
	c.tails.add(&c.tail, msgs)
	c.touch()
	for _, r := range c.relays {
		r.Wake()
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for g := range c.groups {
		g.signal()
	}
	for w := range c.watchers {
		select {
		case w <- struct{}{}:
		default: // it is awake
		}
	}
}

// watch returns a channel that is filled whenever messages were committed, until stop is called.
func (c *channel) watch() (wake <-chan struct{}, stop func()) {
	w := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers == nil {
		c.watchers = make(map[chan struct{}]struct{})
	}
	c.watchers[w] = struct{}{}
	return w, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, w)
	}
}

// touch restarts the time after which an unused channel is deleted.
func (c *channel) touch() { c.active.Store(int64(monotonic())) }

// inactiveFor reports whether the channel has had no active subscription and no publish for that long.
func (c *channel) inactiveFor(d time.Duration) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.byAckInbox) == 0 && monotonic()-time.Duration(c.active.Load()) >= d
}

// drop ends the goroutines of all groups and frees the tail.
func (c *channel) drop() {
	c.tails.remove(&c.tail)
	c.mu.Lock()
	defer c.mu.Unlock()
	for g := range c.groups {
		g.mu.Lock()
		if g.offline != nil {
			g.offline.gone = true // its progress is not written any more
		}
		if g.stop != nil {
			g.stop()
		}
		g.mu.Unlock()
	}
	clear(c.groups)
	clear(c.keyed)
}

// subscriptions returns the number of subscriptions, offline durables included.
func (c *channel) subscriptions() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := 0
	for g := range c.groups {
		g.mu.Lock()
		n += len(g.members)
		if g.offline != nil {
			n++
		}
		g.mu.Unlock()
	}
	return n
}

// read returns up to max stored messages with sequences in [from, to], bounded in bytes, from the
// tail if it reaches back that far.
func (c *channel) read(ctx context.Context, from, to uint64, max int) ([]stores.Message, error) {
	if from > to {
		return nil, nil
	}
	if msgs := c.tail.read(from, to, max); msgs != nil {
		return within(msgs, batchBytes), nil
	}
	return c.readStored(ctx, from, to, max, batchBytes)
}

// readStored returns stored messages with sequences in [from, to], from the database, when it is this read's turn.
func (c *channel) readStored(ctx context.Context, from, to uint64, maxMsgs, maxBytes int) ([]stores.Message, error) {
	done, err := c.reading.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	msgs, err := c.store.Read(ctx, c.stored, from, to, maxMsgs, maxBytes)
	if err != nil {
		return nil, fmt.Errorf("read %q from %d: %w", c.name, from, err)
	}
	c.metrics.replayed.Add(uint64(len(msgs)))
	return msgs, nil
}

// perBatch returns how many messages of about the average size are a batch.
func (c *channel) perBatch() int {
	info := c.stored.Info()
	if info.Msgs == 0 {
		return batchMsgs
	}
	return min(batchMsgs, batchBytes/int(info.Bytes/info.Msgs+1)+1)
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
			msgs, err := c.read(ctx, from, to, batchMsgs)
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
	if m := c.byAckInbox[inbox]; m != nil {
		return m
	}
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
	c.byAckInbox[m.state.AckInbox] = m
	c.byInbox[m.state.Inbox] = m
}

// unindex reverts index, but for the group; it reports false if the member was not indexed.
func (c *channel) unindex(m *member) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byAckInbox[m.state.AckInbox] != m {
		return false
	}
	delete(c.byAckInbox, m.state.AckInbox)
	if c.byInbox[m.state.Inbox] == m {
		delete(c.byInbox, m.state.Inbox)
	}
	c.touch()
	return true
}

// refuse puts a durable or queue group out of service. It is called during the recovery.
func (c *channel) refuse(key groupKey, why error) {
	if key == (groupKey{}) {
		return // nobody can name it
	}
	if c.refused == nil {
		c.refused = make(map[groupKey]error)
	}
	c.refused[key] = fmt.Errorf("the subscription is out of service: %w", why)
}

// channels is the registry of channels.
type channels struct {
	store    channelStore
	events   eventBlocks
	versions []ChannelVersions // of Options
	limits   Limits
	routes   []Route
	new      func(stored *stores.Channel) *channel
	added    func(*channel) // told of a channel before it is known to anybody else
	log      *slog.Logger
	timeout  time.Duration // of creating one, while the database is unavailable

	creating sync.Mutex   // held while a channel is being created; guards failed
	failed   time.Time    // when the last one could not, the database being unavailable
	mu       sync.RWMutex // guards what follows
	byName   map[string]*channel
	damaged  map[string]error  // names of channels that are out of service
	byLower  map[string]string // names by what they are in lower case
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

func (r *channels) remove(c *channel) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, c.name)
	delete(r.byLower, strings.ToLower(c.name))
}

func (r *channels) len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.byName)
}

// add makes a stored channel known.
func (r *channels) add(stored *stores.Channel) *channel {
	c := r.new(stored)
	if c.events = r.events.of(c.name); c.events != nil {
		c.versions = c.events.versions(r.versions, c.name)
		c.routes = toChannels(r.routes, c.name)
	}
	c.limits = r.limits.of(c.name, c.events != nil)
	c.touch()
	r.added(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[c.name] = c
	r.byLower[strings.ToLower(c.name)] = c.name
	return c
}

// take puts a name out of service, since a row of the channel is damaged.
func (r *channels) take(name string, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damaged == nil {
		r.damaged = make(map[string]error)
	}
	r.damaged[name] = fmt.Errorf("channel %q is out of service: %w", name, why)
}

// outOfService returns why a name is out of service, nil if it is not.
func (r *channels) outOfService(name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.damaged[name]
}

// checkCase refuses a name that differs from an existing one by letter case alone.
func (r *channels) checkCase(name string) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if other, ok := r.byLower[strings.ToLower(name)]; ok && other != name {
		return refusal(fmt.Sprintf("rejecting channel %q because channel %q alreay exists (different cases not allowed)", name, other))
	}
	return nil
}

// createPause is how long no channel is created after the database was found to be unavailable: requests wait behind each
// other, and each would wait for it anew.
const createPause = time.Second

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
	if err := r.outOfService(name); err != nil {
		return nil, err
	}
	if err := r.checkCase(name); err != nil {
		return nil, err
	}
	if r.limits.MaxChannels > 0 && r.len() >= r.limits.MaxChannels {
		return nil, errTooManyChannels
	}
	if time.Since(r.failed) < createPause {
		return nil, fmt.Errorf("create channel %q: %w", name, stores.ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	stored, err := r.store.CreateChannel(ctx, name)
	if errors.Is(err, stores.ErrUnavailable) {
		r.failed = time.Now()
	}
	if err != nil {
		return nil, err // it names the channel
	}
	r.log.Info(fmt.Sprintf("Channel %q has been created", name))
	return r.add(stored), nil
}
