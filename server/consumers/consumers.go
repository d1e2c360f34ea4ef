package consumers

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Defaults of Options.
const (
	DefaultInterval     = 100 * time.Millisecond
	DefaultStoreTimeout = 5 * time.Second
	DefaultMaxInflight  = 262144
	// DefaultRedeliveryRate is in messages per second.
	DefaultRedeliveryRate = 5000
)

// Options configure Consumers. A zero value means the default.
type Options struct {
	// Interval is how often the progress of groups is written. After a crash, messages since the last write are sent
	// again.
	Interval time.Duration
	// StoreTimeout bounds one write while the database is unavailable.
	StoreTimeout time.Duration
	// MaxInflight bounds the unacknowledged messages of a subscription. A request for more gets this many.
	MaxInflight int
	// Delivered, if set, is called for each message that was sent. It must not block, nor call Consumers.
	Delivered func(Delivery)
	// Wildcards says that the stored groups of patterns are in service. Otherwise they stay in the store, and wait.
	Wildcards bool
	// Rules are the settings of durables and queue groups in the configuration. A later one overrides an earlier one, field by field.
	Rules []Rule
	// RedeliveryRate bounds how many messages per second are sent again that were sent again before, over all groups. Negative is
	// unlimited.
	RedeliveryRate int
}

// Delivery is a message that was sent to a subscription.
type Delivery struct {
	Channel        *eventlog.Channel // of the message
	Message        stores.Message
	Client         string
	Durable, Queue string // empty if it has none
	Redeliveries   uint32 // 0 for the first delivery
	Began          time.Time
}

func (o Options) withDefaults() Options {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.StoreTimeout <= 0 {
		o.StoreTimeout = DefaultStoreTimeout
	}
	if o.MaxInflight <= 0 {
		o.MaxInflight = DefaultMaxInflight
	}
	if o.RedeliveryRate == 0 {
		o.RedeliveryRate = DefaultRedeliveryRate
	}
	o.MaxInflight = min(o.MaxInflight, math.MaxInt32)
	return o
}

// Metrics is what Consumers counts. It reports failures of "delivery" and "progress".
type Metrics interface {
	Sent(msgs, bytes int)
	Resent(bytes int)
	Acked()
	// Limited is called for each message that was parked or skipped, or at which a group stalled, with LimitPark, LimitSkip or
	// LimitStall.
	Limited(action string)
	// Slowed is called each time a group waits for the rate of redeliveries.
	Slowed()
	Failed(operation string, err error)
}

// Consumers holds all groups of subscriptions.
type Consumers struct {
	store     *stores.Store
	eventlog  *eventlog.Log
	send      Sender
	opts      Options
	metrics   Metrics
	log       *slog.Logger
	positions *positions
	groups    sync.WaitGroup // goroutines of groups
	limiter   *rate.Limiter  // of messages sent again
	// acts is held during an administrative act.
	acts sync.Mutex
	// cancelled are events whose delayed delivery was cancelled, by channel.
	cancelled cancelled

	mu       sync.RWMutex // guards the fields below; locked before a group's mutex
	lines    map[Line]*line
	clients  map[string]map[*Member]struct{} // active members by client ID
	names    map[stores.ConsumerName]*named
	rules    []Rule
	delivery context.Context // context of the groups' goroutines; nil: delivery is off
}

// line holds the groups of a Line.
type line struct {
	groups map[*Group]struct{}
	keyed  map[Key]*Group
	// Active members by ack inbox, which the server chooses, and by data inbox, which the client chooses. With two
	// maps, no client can hide another's ack inbox.
	byAckInbox map[string]*Member
	byInbox    map[string]*Member
	refused    map[Key]error // durables and queue groups out of service
	retiring   bool          // the channel is being deleted
	reserved   int           // joins in progress
}

// New returns Consumers without groups. They deliver the log's messages through send.
func New(store *stores.Store, log *eventlog.Log, send Sender, o Options, m Metrics, logger *slog.Logger) *Consumers {
	o = o.withDefaults()
	return &Consumers{
		store:     store,
		eventlog:  log,
		send:      send,
		opts:      o,
		metrics:   m,
		log:       logger,
		positions: newPositions(store, &o, m, logger),
		lines:     make(map[Line]*line),
		clients:   make(map[string]map[*Member]struct{}),
		limiter:   newLimiter(o.RedeliveryRate),
		names:     make(map[stores.ConsumerName]*named),
		rules:     o.Rules,
	}
}

// Run delivers messages and writes progress until ctx ends. Then it stops delivery, writes once more within the store
// timeout, and returns.
func (c *Consumers) Run(ctx context.Context) {
	c.mu.Lock()
	c.delivery = ctx
	for _, own := range c.lines {
		for g := range own.groups {
			if active, _ := g.Size(); active > 0 {
				c.start(g)
			}
		}
	}
	c.mu.Unlock()
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var writer sync.WaitGroup
	writer.Go(func() { c.positions.run(writing) })
	<-ctx.Done()
	c.mu.Lock()
	c.delivery = nil // from here on, no group starts
	c.mu.Unlock()
	c.groups.Wait()
	stop()
	writer.Wait()
}

// start starts the group's goroutine, unless it runs or the group has ended. The caller holds c.mu.
func (c *Consumers) start(g *Group) {
	own := c.lines[g.line]
	if g.stop != nil || c.delivery == nil || c.delivery.Err() != nil || own == nil {
		return
	}
	if _, exists := own.groups[g]; !exists {
		return
	}
	ctx, stop := context.WithCancel(c.delivery)
	g.stop = stop
	d := &delivery{g: g, pace: &pace{limiter: c.limiter}, failed: func(err error) {
		c.metrics.Failed("delivery", err)
		c.eventlog.Damage().Note(err)
	}}
	c.groups.Go(func() { d.run(ctx) })
}

// newGroup returns a group without members. The caller holds c.mu for writing.
func (c *Consumers) newGroup(l Line, key Key) *Group {
	g := &Group{
		line: l, key: key, decrypts: l.PlainToSubscribers(),
		log: c.log, metrics: c.metrics, send: c.send, delivered: c.opts.Delivered, markDirty: c.positions.add,
		cancelled: c.cancelled.is,
		wake:      make(chan struct{}, 1),
		state:     state{queue: key.Queue != ""},
	}
	if key != (Key{}) {
		g.named = c.namedOf(nameOf(l, key))
		g.state.name = g.named
		g.state.setRules(c.effective(g.named.name, g.named.settings()).rules(), now())
	}
	return g
}

// of returns a line's entry and creates a missing one. The caller holds c.mu for writing.
func (c *Consumers) of(l Line) *line {
	own := c.lines[l]
	if own == nil {
		own = &line{
			groups:     make(map[*Group]struct{}),
			keyed:      make(map[Key]*Group),
			byAckInbox: make(map[string]*Member),
			byInbox:    make(map[string]*Member),
			refused:    make(map[Key]error),
		}
		c.lines[l] = own
	}
	return own
}

func (c *line) attach(g *Group) {
	c.groups[g] = struct{}{}
	if g.key != (Key{}) {
		c.keyed[g.key] = g
	}
}

// detach removes a group, which sends nothing any more, and the entry of its line with its last group. It does nothing if the group
// was removed before. The caller holds c.mu for writing.
func (c *Consumers) detach(g *Group) {
	own := c.lines[g.line]
	if own == nil {
		return
	}
	if _, attached := own.groups[g]; !attached {
		return
	}
	own.detach(g)
	if n := g.named; n != nil && !n.isStored() {
		delete(c.names, n.name)
	}
	if len(own.groups)+len(own.refused)+own.reserved == 0 && !own.retiring {
		delete(c.lines, g.line)
	}
}

func (c *line) detach(g *Group) {
	delete(c.groups, g)
	if c.keyed[g.key] == g {
		delete(c.keyed, g.key)
	}
	if g.stop != nil {
		g.stop() // its goroutine finishes it
	} else {
		g.finish()
	}
}

// index makes an active member findable. The caller holds c.mu.
func (c *Consumers) index(m *Member) {
	own := c.of(m.group.line)
	own.byAckInbox[m.state.AckInbox] = m
	own.byInbox[m.state.Inbox] = m
	if c.clients[m.state.ClientID] == nil {
		c.clients[m.state.ClientID] = make(map[*Member]struct{})
	}
	c.clients[m.state.ClientID][m] = struct{}{}
}

// unindex reverts index. It reports false if the member was not indexed. The caller holds c.mu.
func (c *Consumers) unindex(m *Member) bool {
	own := c.lines[m.group.line]
	if own == nil || own.byAckInbox[m.state.AckInbox] != m {
		return false
	}
	delete(own.byAckInbox, m.state.AckInbox)
	if own.byInbox[m.state.Inbox] == m {
		delete(own.byInbox, m.state.Inbox)
	}
	delete(c.clients[m.state.ClientID], m)
	if len(c.clients[m.state.ClientID]) == 0 {
		delete(c.clients, m.state.ClientID)
	}
	return true
}

// Ack handles an acknowledgement on m's ack inbox. It may be for a message that another member of the group holds. An
// acknowledgement of any other message is ignored.
func (c *Consumers) Ack(m *Member, seq uint64) { m.group.ack(m, seq) }

// ByInbox returns the active member with that ack inbox, else the one with that data inbox, or nil.
func (c *Consumers) ByInbox(l Line, inbox string) *Member {
	c.mu.RLock()
	defer c.mu.RUnlock()
	own := c.lines[l]
	if own == nil {
		return nil
	}
	if m := own.byAckInbox[inbox]; m != nil {
		return m
	}
	return own.byInbox[inbox]
}

// Durable returns the active member of a plain durable, or nil.
func (c *Consumers) Durable(l Line, client, durable string) *Member {
	c.mu.RLock()
	defer c.mu.RUnlock()
	own := c.lines[l]
	if own == nil {
		return nil
	}
	g := own.keyed[Key{Client: client, Durable: durable}]
	if g == nil {
		return nil
	}
	return g.soleMember()
}

// Wake tells a client's groups that it became reachable or answers heartbeats again.
func (c *Consumers) Wake(client Client) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for m := range c.clients[client.ID()] {
		m.group.signal()
	}
}

// Groups returns a line's groups, in no particular order.
func (c *Consumers) Groups(l Line) []*Group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if own := c.lines[l]; own != nil {
		return slices.Collect(maps.Keys(own.groups))
	}
	return nil
}

// Count returns the number of a line's subscriptions, offline durables included.
func (c *Consumers) Count(l Line) int {
	n := 0
	for _, g := range c.Groups(l) {
		n += int(g.size.Load())
	}
	return n
}

// Retire implements eventlog.Users. Unless the channel has active members, it calls remove while no client can join. If
// remove returns nil, it forgets the channel's groups.
func (c *Consumers) Retire(ch *eventlog.Channel, remove func() error) (retired bool, err error) {
	c.mu.Lock()
	own := c.of(ch)
	groups := slices.Collect(maps.Keys(own.groups))
	used := slices.ContainsFunc(groups, func(g *Group) bool {
		active, _ := g.Size()
		return active > 0
	})
	if used || own.retiring || own.reserved > 0 {
		c.mu.Unlock()
		return false, nil
	}
	own.retiring = true
	c.mu.Unlock()

	c.positions.drop(groups)
	err = remove()

	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		own.retiring = false
		for _, g := range groups {
			c.positions.add(g)
		}
		return false, err
	}
	for _, g := range groups {
		own.detach(g)
	}
	delete(c.lines, ch)
	maps.DeleteFunc(c.names, func(name stores.ConsumerName, _ *named) bool { return name.Line == ch.Name() })
	c.cancelled.drop(ch.Name())
	return true, nil
}
