package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"
)

// Request is a request for a subscription.
type Request struct {
	Client        Client
	Line          Line
	Inbox         string // chosen by the client; messages go there
	AckInbox      string // chosen by the server
	QGroup        string
	DurableName   string
	MaxInFlight   int32
	AckWaitInSecs int32
	Receiver      Receiver // nil: messages go to Inbox

	Start          StartPosition
	StartSequence  uint64
	StartTimeDelta int64 // ns before now
}

// key returns the key of the requested group.
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

// StartPosition is where a new group begins, numbered as in pb.StartPosition.
type StartPosition int32

// The start positions of NATS Streaming.
const (
	NewOnly        StartPosition = 0
	LastReceived   StartPosition = 1
	TimeDeltaStart StartPosition = 2
	SequenceStart  StartPosition = 3
	First          StartPosition = 4
)

// startAfter returns the sequence before the requested start position, and the log's words for it.
func (r *Request) startAfter(ctx context.Context) (uint64, string, error) {
	info := r.Line.Info()
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
		last, err := r.Line.LastReceived(ctx)
		if err != nil {
			return 0, "", fmt.Errorf("start position in %q: %w", r.Line.Name(), err)
		}
		if last > 0 {
			first = last
		}
		from = "last message, "
	case First:
		from = "from beginning, "
	case SequenceStart:
		first = min(max(r.StartSequence, first), next)
		from = fmt.Sprintf("from sequence, asked_seq=%d actual_", r.StartSequence)
	case TimeDeltaStart:
		start := time.Now().UnixNano() - r.StartTimeDelta
		at, err := r.Line.PlaceAt(ctx, start)
		if err != nil {
			return 0, "", fmt.Errorf("start position in %q: %w", r.Line.Name(), err)
		}
		if first = at; at == 0 {
			first = next
		}
		from = fmt.Sprintf("from time time='%v' ", time.Unix(0, start))
	}
	return first - 1, fmt.Sprintf("%sseq=%d", from, first), nil
}

// Join adds a client to the group of its request, or to a new group. It returns when the member is stored. It calls
// joined before the member is sent anything, so that the caller can register the member and reply; joined must not call
// back. If ctx ends first, the member is removed.
func (c *Consumers) Join(ctx context.Context, r Request, joined func(*Member)) (*Member, error) {
	m, err := c.prepare(ctx, &r)
	if err != nil {
		return nil, err
	}
	g := m.group
	if err := c.positions.wait(ctx, g); err != nil {
		c.undo(m)
		return nil, fmt.Errorf("create subscription on %q: %w", g.line.Name(), err)
	}
	if err := c.beginAnew(ctx, g); err != nil {
		c.undo(m)
		return nil, fmt.Errorf("create subscription on %q: %w", g.line.Name(), err)
	}
	c.mu.Lock()
	c.index(m)
	c.mu.Unlock()
	// A client that has its answer counts for the next message; none is sent before the answer.
	g.mu.Lock()
	active := g.state.activate(m)
	joined(m)
	g.mu.Unlock()
	c.log.Debug(m.Describe(m.joined) + m.from)
	if active {
		c.mu.Lock()
		c.start(g)
		c.mu.Unlock()
		g.signal()
	}
	return m, nil
}

// beginAnew takes out of the parked messages what comes again to a new group, since an earlier group with its name has parked it.
func (c *Consumers) beginAnew(ctx context.Context, g *Group) error {
	if anew, _ := g.began(); !anew {
		return nil
	}
	c.acts.Lock()
	defer c.acts.Unlock()
	anew, next := g.began()
	if !anew {
		return nil // another member's join, or an act, did it
	}
	parked, err := c.parkedFrom(ctx, g, 1)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.named.recount(parked) // a discard may have had an unknown outcome
	g.state.unparkFrom(next, parked)
	g.touch()
	g.mu.Unlock()
	return c.flushed(ctx, g)
}

// began returns whether messages may be parked that come again, and the next message.
func (g *Group) began() (anew bool, next uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.anew, g.state.lastSent + 1
}

// prepare adds a member to its group in memory. The member is sent nothing until it is active.
func (c *Consumers) prepare(ctx context.Context, r *Request) (*Member, error) {
	key := r.key()
	after, from, known := uint64(0), "", false
	for {
		g, others, err := c.reserve(r.Line, key, known, after)
		if err != nil {
			return nil, err
		}
		if g == nil { // the group does not exist
			if after, from, err = r.startAfter(ctx); err != nil { // queries the database
				return nil, err
			}
			known = true
			continue
		}
		m, err := c.add(g, r, others, from)
		c.release(g)
		if m != nil || err != nil {
			return m, err
		}
	}
}

// reserve returns the requested group and the number of the channel's other subscriptions; both stay until release. If
// the group is missing, it is created at the given position, or nil if that is not known.
func (c *Consumers) reserve(l Line, key Key, known bool, after uint64) (g *Group, others int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !l.Exists() {
		return nil, 0, ErrChannelDeleted
	}
	own := c.of(l)
	if own.retiring {
		return nil, 0, ErrChannelDeleted
	}
	if err := own.refused[key]; err != nil {
		return nil, 0, err
	}
	if g = own.keyed[key]; g == nil {
		if !known {
			return nil, 0, nil
		}
		g = c.newGroup(l, key)
		g.state.lastSent, g.state.anew = after, g.named != nil && g.named.parkedCount() > 0
		own.attach(g)
	}
	others = own.reserved
	if l.MaxSubscriptions() > 0 {
		for other := range own.groups {
			others += int(other.size.Load())
		}
	}
	own.reserved++
	g.reserved++
	return g, others, nil
}

// release undoes reserve and removes a group without members.
func (c *Consumers) release(g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines[g.line].reserved--
	if g.reserved--; g.reserved == 0 && g.size.Load() == 0 {
		c.detach(g)
	}
}

// add adds a member to a group. It returns nil if the group has ended.
func (c *Consumers) add(g *Group, r *Request, others int, from string) (*Member, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.ended {
		return nil, nil
	}
	joined, resume := "Added member to", g.state.offline != nil
	switch {
	case resume:
		joined, from = "Resumed", ""
	case g.state.id == 0:
		joined, from = "Started new", ", sending "+from
	default:
		from = ""
	}
	limit := g.line.MaxSubscriptions()
	switch {
	case !g.state.queue && len(g.state.members)+len(g.state.joining) > 0:
		return nil, ErrDuplicateDurable
	case limit > 0 && !resume && others >= limit:
		return nil, ErrTooManySubs
	}
	start := Start{Resumed: g.state.id != 0, LastSent: g.state.lastSent, Unacked: g.state.unacked.len()}
	m := &Member{group: g, client: r.Client, receiver: r.Receiver, start: start, joined: joined, from: from, state: &spb.SubState{
		ClientID:      r.Client.ID(),
		QGroup:        g.key.Queue,
		Inbox:         r.Inbox,
		AckInbox:      r.AckInbox,
		MaxInFlight:   r.MaxInFlight,
		AckWaitInSecs: r.AckWaitInSecs,
		DurableName:   g.key.Durable, // a queue group's name contains it
		IsDurable:     r.DurableName != "" || g.state.durable,
		// A receiver ends with its process: whoever reads the row later finds an offline durable, or nothing.
		IsClosed: r.Receiver != nil,
	}}
	g.state.join(m, c.store.NewSubscriptionID, now())
	c.clamp(m)
	g.touch()
	return m, nil
}

// clamp bounds the member's unacknowledged messages.
func (c *Consumers) clamp(m *Member) {
	if int(m.state.MaxInFlight) <= c.opts.MaxInflight {
		return
	}
	c.log.Warn("Subscription's MaxInflight reduced to the server's limit", "client", m.state.ClientID,
		"channel", m.group.line.Name(), "requested", m.state.MaxInFlight, "limit", c.opts.MaxInflight)
	m.state.MaxInFlight = int32(c.opts.MaxInflight)
}

// undo removes a member that was not stored in time, and whatever was written of it.
func (c *Consumers) undo(m *Member) { c.remove(m, false) }

// remove removes a member from its group. It reports what became of the group and whether other members remain.
func (c *Consumers) remove(m *Member, unsubscribe bool) (end departure, remain bool) {
	g := m.group
	g.mu.Lock()
	end = g.state.leave(m, unsubscribe, now())
	remain = len(g.state.members)+len(g.state.joining) > 0
	g.touch()
	g.mu.Unlock()
	if end != ended {
		g.signal()
		return end, remain
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.detach(g)
	return end, remain
}

// Leave removes a member from its group. A durable group that loses its last member keeps that member's messages,
// unless the member unsubscribed. Any other group ends with its last member. Leaving twice has no effect. After an
// error, the change is stored once the database accepts it.
func (c *Consumers) Leave(ctx context.Context, m *Member, unsubscribe bool) error {
	g := m.group
	c.mu.Lock()
	indexed := c.unindex(m)
	c.mu.Unlock()
	if !indexed {
		return nil
	}
	end, remain := c.remove(m, unsubscribe)
	if m.receiver != nil {
		m.receiver.Left()
	}
	g.line.Touch()

	done, what := "Removed", "delete"
	switch {
	case end == suspended:
		done, what = "Suspended", "suspend"
	case remain:
		done = "Removed member from"
	}
	c.log.Debug(m.Describe(done))
	if err := c.positions.wait(ctx, g); err != nil {
		return fmt.Errorf("%s subscription on %q: %w", what, g.line.Name(), err)
	}
	return nil
}
