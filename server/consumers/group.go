package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Key identifies a group within its line. A plain, non-durable subscription has the zero key and cannot be joined.
type Key struct {
	Client  string // client of a plain durable; "" for a queue group
	Durable string // durable name of a plain durable
	Queue   string // queue group name; "durable:queue" if durable
}

// Group holds the members that share one position in a line: a queue group, or one plain subscription. A durable
// group outlives its members.
type Group struct {
	line    Line
	key     Key
	named   *named // nil: the key is zero
	log     *slog.Logger
	metrics Metrics
	send    Sender
	// decrypts says that clients of NATS Streaming get encrypted values of the line decrypted.
	decrypts bool
	// delivered is that of Options; nil without tracing.
	delivered func(Delivery)
	// cancelled reports whether the delivery of a channel's message was cancelled.
	cancelled func(channel string, seq uint64) bool
	// markDirty schedules a write. It is called once between two writes.
	markDirty func(*Group)
	// wake tells the group's goroutine to look for messages to send. It has one slot and carries no data.
	wake chan struct{}

	size atomic.Int32 // members in any phase, as of the last touch

	// Guarded by Consumers.mu.
	stop     func() // ends the group's goroutine; nil without one
	reserved int    // joins in progress

	mu        sync.Mutex // guards what follows
	state     state
	kept      kept
	queued    bool // markDirty was called
	finished  bool // nothing is sent any more
	afterSend []afterSend
	logged    time.Duration // when the log last told of messages at their limit
	unlogged  int           // such messages since then
}

// Line returns what the group reads.
func (g *Group) Line() Line { return g.line }

// Key returns the group's key.
func (g *Group) Key() Key { return g.key }

// ID returns the group's ID in the store, that of its first subscription: older groups have lower IDs. It is 0 while the
// first subscription joins.
func (g *Group) ID() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.id
}

// Size returns the numbers of active and offline subscriptions.
func (g *Group) Size() (active, offline int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state.offline != nil {
		offline = 1
	}
	return len(g.state.members) + len(g.state.joining), offline
}

// Backlog is the work that a group has left. Of a pattern, it includes the positions of other events that the group has not yet
// passed.
type Backlog struct {
	Msgs  uint64 // not yet sent, or not yet acknowledged
	First uint64 // first of these sequences, or 0; without delayed events whose time has not come
}

// Backlog computes the backlog. It visits every unacknowledged message.
func (g *Group) Backlog() Backlog {
	g.mu.Lock()
	defer g.mu.Unlock()
	info := g.line.Info()
	var b Backlog
	if next := max(g.state.lastSent+1, info.First); info.Msgs > 0 && next <= info.Last {
		b = Backlog{Msgs: info.Last - next + 1, First: next}
	}
	at := now()
	for seq, h := range g.state.unacked.held {
		b.Msgs++
		if (b.First == 0 || seq < b.First) && !g.state.delayed(seq, h, at) {
			b.First = seq
		}
	}
	return b
}

// signal wakes the group's goroutine.
func (g *Group) signal() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// touch schedules a write of the changes. The caller holds g.mu.
func (g *Group) touch() {
	g.size.Store(int32(g.state.size()))
	if !g.queued && g.state.changed.any() {
		g.queued = true
		g.markDirty(g)
	}
}

// ack handles an acknowledgement on m's ack inbox.
func (g *Group) ack(m *Member, seq uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known, room := g.state.ack(seq, now())
	if !known {
		return
	}
	g.trace("Received ack", m, seq)
	g.metrics.Acked()
	g.touch()
	if room {
		g.signal()
	}
}

// soleMember returns the active member of a plain durable, or nil.
func (g *Group) soleMember() *Member {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.state.members) == 0 {
		return nil
	}
	return g.state.members[0]
}

// levelTrace is NATS' level TRC, below debug.
const levelTrace = slog.LevelDebug - 4

func (g *Group) trace(what string, m *Member, seq uint64) {
	if ctx := context.Background(); g.log.Enabled(ctx, levelTrace) {
		g.log.Log(ctx, levelTrace, fmt.Sprintf("[Client:%s] %s", m.state.ClientID, what), "channel", g.line.Name(), "seq", seq)
	}
}

// started anchors the monotonic clock of ack timeouts. A step of the wall clock must neither delay nor cause a
// redelivery.
var started = time.Now()

// now returns the time since the process started.
func now() time.Duration { return time.Since(started) }

// Status describes a subscription for monitoring.
type Status struct {
	ClientID     string // of an offline durable: its last client; of a queue group that is offline since the start: none
	Inbox        string
	AckInbox     string
	DurableName  string
	QueueName    string // "durable:group" for a durable queue group
	IsDurable    bool
	IsOffline    bool
	MaxInflight  int32
	AckWait      int32 // s
	LastSent     uint64
	PendingCount int // sent but not acknowledged
	IsStalled    bool
}

// Status describes the group's subscriptions, the offline one last.
func (g *Group) Status() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []Status
	for _, m := range g.state.all() {
		all = append(all, g.describe(m))
	}
	return all
}

// Status describes the subscription.
func (m *Member) Status() Status {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	return m.group.describe(m)
}

// describe returns a member's status. The caller holds g.mu.
func (g *Group) describe(m *Member) Status {
	client := m.state.ClientID
	if m.client == nil && m.state.QGroup != "" {
		client = ""
	}
	return Status{
		ClientID:     client,
		Inbox:        m.state.Inbox,
		AckInbox:     m.state.AckInbox,
		DurableName:  m.state.DurableName,
		QueueName:    m.state.QGroup,
		IsDurable:    m.state.IsDurable,
		IsOffline:    m.phase == phaseOffline,
		MaxInflight:  m.state.MaxInFlight,
		AckWait:      m.state.AckWaitInSecs,
		LastSent:     g.state.lastSent,
		PendingCount: m.due.n,
		IsStalled:    m.stalled(),
	}
}
