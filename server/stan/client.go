package stan

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// client is one registered client.
type client struct {
	info *spb.ClientInfo
	// origin is where its connect request came from. It is not known after a restart.
	origin origin
	// failedBeats counts the heartbeats that failed in a row.
	failedBeats atomic.Int32
	// away says that the client was recovered from the database, or found to be gone, and has not shown yet that it is connected
	// to NATS: what is sent to it would be lost, and be sent again only after its AckWait.
	away atomic.Bool
	// arriving says that the client has shown it, and is no longer away in a moment.
	arriving atomic.Bool
	// beatNow asks for a heartbeat before it is time. It has one slot and carries no data.
	beatNow chan struct{}
	// named is who publishes by the client ID alone, and identity who does with the connection ID: what NATS said of the connection
	// that registered the client.
	named    *stores.Appender
	identity atomic.Pointer[stores.Appender]

	mu      sync.Mutex                     // guards what follows
	members map[*consumers.Member]origin   // of the subscribe request
	hears   map[string][]*consumers.Member // the members by channel or pattern
	broad   []*consumers.Member            // those of patterns
	closed  bool
	// answering are publishes whose answers wait for a message to be sent. None is added once the client is closed.
	answering sync.WaitGroup
	beat      func() // stops the heartbeat timer
}

var _ consumers.Client = (*client)(nil)

func newClient(info *spb.ClientInfo) *client {
	c := &client{info: info, beatNow: make(chan struct{}, 1), members: make(map[*consumers.Member]origin), hears: make(map[string][]*consumers.Member)}
	c.named = &stores.Appender{ClientID: info.ID}
	c.identity.Store(c.named)
	return c
}

// ID implements consumers.Client.
func (c *client) ID() string { return c.info.ID }

// Healthy implements consumers.Client: the client answered its last heartbeat.
func (c *client) Healthy() bool { return c.failedBeats.Load() == 0 }

// Reachable implements consumers.Client.
func (c *client) Reachable() bool { return !c.away.Load() }

// leave notes that the client is not connected to NATS.
func (c *client) leave() {
	c.arriving.Store(false)
	c.away.Store(true)
	c.wantBeat()
}

// wantBeat asks for a heartbeat now.
func (c *client) wantBeat() {
	select {
	case c.beatNow <- struct{}{}:
	default:
	}
}

// add ties a member to the client's life. It reports false if the client is closed.
func (c *client) add(m *consumers.Member, from origin) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.members[m] = from
	name := m.Line().Name()
	c.hears[name] = append(c.hears[name], m)
	if m.Line().Pattern() != "" {
		c.broad = append(slices.Clone(c.broad), m)
	}
	return true
}

func (c *client) remove(m *consumers.Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.members, m)
	without := func(all []*consumers.Member) []*consumers.Member {
		return slices.DeleteFunc(slices.Clone(all), func(it *consumers.Member) bool { return it == m })
	}
	name := m.Line().Name()
	if c.hears[name] = without(c.hears[name]); len(c.hears[name]) == 0 {
		delete(c.hears, name)
	}
	c.broad = without(c.broad)
}

// owner returns whose the client is.
func (c *client) owner() owner { return owner{c.info.ID, c.origin, c.info.HbInbox} }

// ownerOf returns whose a member is. It may be that of a client before, which lost its ID.
func (c *client) ownerOf(m *consumers.Member) owner {
	c.mu.Lock()
	defer c.mu.Unlock()
	return owner{c.info.ID, c.members[m], m.Inbox()}
}

// all returns the client's active members.
func (c *client) all() []*consumers.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	members := make([]*consumers.Member, 0, len(c.members))
	for m := range c.members {
		members = append(members, m)
	}
	return members
}

// answer calls f, which answers a publish: after the client's subscriptions to the channel were sent the message, so that who
// publishes and subscribes sees both in this order. It reports whether there are such subscriptions.
func (c *client) answer(channel string, stored stores.Result, f func(heard bool)) {
	c.mu.Lock()
	hears := c.hears[channel]
	if len(c.broad) > 0 && stored.Position > 0 {
		hears = slices.Clone(hears)
		for _, m := range c.broad {
			if m.Line().Includes(channel) {
				hears = append(hears, m)
			}
		}
	}
	if c.closed {
		hears = nil
	}
	if len(hears) > 0 {
		c.answering.Add(1)
	}
	c.mu.Unlock()
	if len(hears) == 0 {
		f(false)
		return
	}
	next := func() {
		defer c.answering.Done()
		f(true)
	}
	for _, m := range hears {
		after, at := next, m.Line().Place(&stores.Message{Sequence: stored.Sequence, Position: stored.Position})
		next = func() { m.AfterSending(at, after) }
	}
	next()
}

// close marks the client closed, stops its heartbeats and returns its members.
func (c *client) close() []*consumers.Member {
	c.mu.Lock()
	c.closed = true
	if c.beat != nil {
		c.beat()
	}
	c.mu.Unlock()
	return c.all()
}
