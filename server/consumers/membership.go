package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// Request asks for a subscription.
type Request struct {
	Client        Client
	Channel       *eventlog.Channel
	Inbox         string // of the client's choice: messages are sent there
	AckInbox      string // of the server's choice
	QGroup        string
	DurableName   string
	MaxInFlight   int32
	AckWaitInSecs int32

	Start          StartPosition
	StartSequence  uint64
	StartTimeDelta int64 // ns before now
}

// key returns the key of the group that a request joins.
func (r *Request) key() Key {
	switch {
	case r.QGroup != "" && r.DurableName != "":
		return Key{Queue: r.DurableName + ":" + r.QGroup}
	case r.QGroup != "":
		return Key{Queue: r.QGroup}
	case r.DurableName != "":
		return Key{Client: r.Client.ID(), Durable: r.DurableName}
	}
	return Key{}
}

// StartPosition is where a new group begins, with the numbers of pb.StartPosition.
type StartPosition int32

// The start positions of NATS Streaming.
const (
	NewOnly        StartPosition = 0
	LastReceived   StartPosition = 1
	TimeDeltaStart StartPosition = 2
	SequenceStart  StartPosition = 3
	First          StartPosition = 4
)

// startAfter returns the sequence after which the requested start position lies, and what the log says of it.
func (r *Request) startAfter(ctx context.Context) (uint64, string, error) {
	info := r.Channel.Info()
	next := info.Last + 1
	first := next
	if info.Msgs > 0 {
		first = info.First
	}
	from := ""
	switch r.Start {
	case NewOnly:
		first, from = next, "new-only, "
	case LastReceived:
		if info.Msgs > 0 {
			first = info.Last
		}
		from = "last message, "
	case First:
		from = "from beginning, "
	case SequenceStart:
		first = min(max(r.StartSequence, first), next)
		from = fmt.Sprintf("from sequence, asked_seq=%d actual_", r.StartSequence)
	case TimeDeltaStart:
		start := time.Now().UnixNano() - r.StartTimeDelta
		at, err := r.Channel.SequenceAt(ctx, start)
		if err != nil {
			return 0, "", fmt.Errorf("start position in %q: %w", r.Channel.Name(), err)
		}
		if first = at; at == 0 {
			first = next
		}
		from = fmt.Sprintf("from time time='%v' ", time.Unix(0, start))
	}
	return first - 1, fmt.Sprintf("%sseq=%d", from, first), nil
}

// Join makes a client a member of the group that the request names, which may be a new group, and returns when that is on
// record. joined is called then, before anything is sent to the member: it makes the member known, and answers. If ctx ends
// before, nothing is left of the member.
func (c *Consumers) Join(ctx context.Context, r Request, joined func(*Member)) (*Member, error) {
	m, err := c.prepare(ctx, &r)
	if err != nil {
		return nil, err
	}
	g := m.group
	if err := c.positions.wait(ctx, g); err != nil {
		c.undo(m)
		return nil, fmt.Errorf("create subscription on %q: %w", g.ch.Name(), err)
	}
	c.mu.Lock()
	c.index(m)
	c.mu.Unlock()
	joined(m)
	c.log.Debug(m.Describe(m.joined) + m.from)
	g.mu.Lock()
	active := g.state.activate(m)
	g.mu.Unlock()
	if active {
		c.mu.Lock()
		c.start(g)
		c.mu.Unlock()
		g.signal()
	}
	return m, nil
}

// prepare adds a member to its group in memory. It is sent nothing until it is active.
func (c *Consumers) prepare(ctx context.Context, r *Request) (*Member, error) {
	ch, key := r.Channel, r.key()
	first, from, started := uint64(0), "", false
	for {
		c.mu.Lock()
		if !started && c.groupOf(ch, key) == nil {
			c.mu.Unlock()
			var err error
			if first, from, err = r.startAfter(ctx); err != nil { // asks the database
				return nil, err
			}
			started = true
			continue
		}
		m, err := c.add(r, key, first, from)
		c.mu.Unlock()
		return m, err
	}
}

func (c *Consumers) groupOf(ch *eventlog.Channel, key Key) *Group {
	if own := c.channels[ch]; own != nil {
		return own.keyed[key]
	}
	return nil
}

// add is the caller's, who holds c.mu. The group begins after the sequence if it is a new one.
func (c *Consumers) add(r *Request, key Key, after uint64, from string) (*Member, error) {
	ch := r.Channel
	if c.eventlog.Channel(ch.Name()) != ch {
		return nil, ErrChannelDeleted
	}
	own := c.of(ch)
	if own.retiring {
		return nil, ErrChannelDeleted
	}
	if err := own.refused[key]; err != nil {
		return nil, err
	}
	g, joined := own.keyed[key], "Added member to"
	if g == nil {
		g, joined = c.newGroup(ch, key), "Started new"
		g.state.lastSent = after
		from = ", sending " + from
	} else {
		from = ""
	}
	subscribed := 0
	limit := ch.Limits().MaxSubscriptions
	if limit > 0 {
		for other := range own.groups { // asks each group
			active, offline := other.Size()
			subscribed += active + offline
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	resume := g.state.offline != nil
	if resume {
		joined = "Resumed"
	}
	switch {
	case !g.state.queue && len(g.state.members)+len(g.state.joining) > 0:
		return nil, ErrDuplicateDurable
	case limit > 0 && !resume && subscribed >= limit:
		return nil, ErrTooManySubs
	}
	m := &Member{group: g, client: r.Client, joined: joined, from: from, state: &spb.SubState{
		ClientID:      r.Client.ID(),
		QGroup:        key.Queue,
		Inbox:         r.Inbox,
		AckInbox:      r.AckInbox,
		MaxInFlight:   r.MaxInFlight,
		AckWaitInSecs: r.AckWaitInSecs,
		DurableName:   key.Durable, // a queue group's is in its name
		IsDurable:     r.DurableName != "" || g.state.durable,
	}}
	g.state.join(m, c.store.NewSubscriptionID, now())
	c.clamp(m)
	own.attach(g)
	g.touch()
	return m, nil
}

// clamp bounds what a member may hold unacknowledged.
func (c *Consumers) clamp(m *Member) {
	if int(m.state.MaxInFlight) <= c.opts.MaxInflight {
		return
	}
	c.log.Warn("MaxInflight of the subscription reduced to the limit of the server", "client", m.state.ClientID,
		"channel", m.group.ch.Name(), "requested", m.state.MaxInFlight, "limit", c.opts.MaxInflight)
	m.state.MaxInFlight = int32(c.opts.MaxInflight)
}

// undo takes a member back that is not on record in time. Whatever was written of it is removed.
func (c *Consumers) undo(m *Member) {
	g := m.group
	c.mu.Lock()
	defer c.mu.Unlock()
	g.mu.Lock()
	end := g.state.leave(m, false, now())
	g.touch()
	g.mu.Unlock()
	c.finish(g, end)
}

// finish does what a leave means for the group. The caller holds c.mu.
func (c *Consumers) finish(g *Group, end departure) {
	if end != ended {
		g.signal()
		return
	}
	if own := c.channels[g.ch]; own != nil {
		own.detach(g)
	}
}

// Leave takes a member out of its group. A durable group that loses its last member stays, with the member's messages, unless
// it unsubscribed; any other group ends with its last member. Leaving twice does nothing. An error says that it is not on
// record yet; it will be as soon as the database takes it.
func (c *Consumers) Leave(ctx context.Context, m *Member, unsubscribe bool) error {
	g := m.group
	c.mu.Lock()
	if !c.unindex(m) {
		c.mu.Unlock()
		return nil
	}
	g.mu.Lock()
	end := g.state.leave(m, unsubscribe, now())
	g.touch()
	remain := len(g.state.members)+len(g.state.joining) > 0
	g.mu.Unlock()
	c.finish(g, end)
	c.mu.Unlock()
	g.ch.Touch()

	done, what := "Removed", "delete"
	switch {
	case end == suspended:
		done, what = "Suspended", "suspend"
	case remain:
		done = "Removed member from"
	}
	c.log.Debug(m.Describe(done))
	if err := c.positions.wait(ctx, g); err != nil {
		return fmt.Errorf("%s subscription on %q: %w", what, g.ch.Name(), err)
	}
	return nil
}
