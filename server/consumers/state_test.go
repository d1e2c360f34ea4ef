package consumers

import (
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-streaming-server/spb"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// fakeClient is a client with a settable health.
type fakeClient struct {
	id                  string
	ailing, unreachable atomic.Bool
}

func (c *fakeClient) ID() string      { return c.id }
func (c *fakeClient) Healthy() bool   { return !c.ailing.Load() }
func (c *fakeClient) Reachable() bool { return !c.unreachable.Load() }

// counted counts sent messages.
type counted struct{ sent int }

func (c *counted) Send(string, []byte) { c.sent++ }
func (*counted) Sent(int, int)         {}
func (*counted) Resent(int)            {}
func (*counted) Acked()                {}
func (*counted) Limited(string)        {}
func (*counted) Slowed()               {}
func (*counted) Failed(string, error)  {}

// active adds an active member to a group.
func active(s *state, id uint64, maxInFlight int32) *Member {
	m := &Member{client: &fakeClient{id: "me"}, state: &spb.SubState{Inbox: "i", AckWaitInSecs: 1, MaxInFlight: maxInFlight}}
	s.join(m, func() uint64 { return id }, 0)
	s.activate(m)
	return m
}

// allDue returns what is due, whatever was sent again before.
func allDue(s *state, now time.Duration) []due {
	again := math.MaxInt
	all, _ := s.takeDue(now, &again)
	return all
}

// every is a wait of takeDue that refuses no message.
func every(d time.Duration) func(uint64) (time.Duration, bool) {
	return func(uint64) (time.Duration, bool) { return d, true }
}

func TestUnackedChangesHolder(t *testing.T) {
	t.Parallel()
	var u unacked
	a, b := &Member{}, &Member{}
	if !u.put(a, 1, 10) || u.put(a, 1, 20) || !u.put(b, 1, 20) || !u.put(a, 1, 10) {
		t.Error("put must report whether the member held the message before")
	}
	if a.due.n != 1 || b.due.n != 0 || u.len() != 1 {
		t.Errorf("%d and %d messages, want 1 and 0", a.due.n, b.due.n)
	}
	if got := u.sequences(a); !slices.Equal(got, []uint64{1}) {
		t.Errorf("sequences = %v, want [1]", got)
	}
	if due, _ := u.takeDue(a, 15, 15, every(100)); !slices.Equal(due, []uint64{1}) {
		t.Errorf("takeDue = %v, want [1]", due)
	}
	if _, ok := u.next(b); ok {
		t.Error("a former holder still has a due message")
	}
}

// A durable that closes between takeDue and resend must not get the messages: its client already knows that it is
// closed.
func TestResendAfterTheMemberLeft(t *testing.T) {
	t.Parallel()
	var sent counted
	g := &Group{log: slog.New(slog.DiscardHandler), metrics: &sent, send: &sent, markDirty: func(*Group) {}}
	m := active(&g.state, 1, 1)
	m.state.IsDurable, g.state.durable = true, true
	g.state.sent(m, 1, -2*time.Second)

	chosen := allDue(&g.state, 0)
	if len(chosen) != 1 {
		t.Fatalf("%d messages are due, want 1", len(chosen))
	}
	if got := g.state.leave(m, false, 0); got != suspended {
		t.Fatalf("departure %v", got)
	}
	stored := map[uint64]stores.Message{1: {Sequence: 1}}
	g.resend(chosen, stored, nil)
	if sent.sent != 0 {
		t.Errorf("sent %d messages to a subscription that ended", sent.sent)
	}
	if g.state.unacked.holder(1) != m {
		t.Error("the message is not kept for the durable's next member")
	}

	next := active(&g.state, 2, 1)
	if next.state.ID != 1 || g.state.unacked.holder(1) != next {
		t.Fatalf("subscription %d does not hold the message", next.state.ID)
	}
	g.resend(allDue(&g.state, 0), stored, nil)
	if sent.sent != 1 {
		t.Errorf("sent %d messages to an active subscription, want 1", sent.sent)
	}
}

// A write contains only changes: parts with messages that were sent, acknowledged or dealt, and the row if the last
// sequence or the members changed.
func TestOnlyChangesAreWritten(t *testing.T) {
	t.Parallel()
	s := state{queue: true}
	a, b := active(&s, 1, 1<<20), active(&s, 2, 1<<20)
	for seq := uint64(1); seq <= 5000; seq++ {
		s.sent(s.pick(false), seq, 0)
	}
	if a.due.n != 2500 || b.due.n != 2500 {
		t.Errorf("%d and %d messages", a.due.n, b.due.n)
	}
	c, _ := s.takeChanges(nil)
	if len(c.Put) != 2 || len(c.Positions) != 1 || len(c.Positions[0].Parts) != 5 || c.Positions[0].Row.LastSent != 5000 {
		t.Errorf("first: %d subscriptions, %+v", len(c.Put), c.Positions[0].Row)
	}
	if c, _ := s.takeChanges(nil); !c.Empty() {
		t.Errorf("a write without changes: %+v", c)
	}
	allDue(&s, time.Hour)
	if c, _ := s.takeChanges(nil); !c.Empty() {
		t.Errorf("a write after due times changed: %+v", c)
	}
	s.ack(1500, 0)
	s.ack(1500, 0)
	s.ack(1501, 0)
	c, taken := s.takeChanges(nil)
	if len(c.Positions) != 1 || c.Positions[0].Row != nil || len(c.Positions[0].Parts) != 1 || len(c.Positions[0].Parts[1]) != 1022 {
		t.Errorf("two acks: %+v", c)
	}
	s.changed.putBack(taken) // the write failed
	s.ack(1, 0)
	if c, _ := s.takeChanges(nil); len(c.Positions[0].Parts) != 2 {
		t.Errorf("another ack: %d parts, want 2", len(c.Positions[0].Parts))
	}
	s.leave(b, false, 0)
	c, _ = s.takeChanges(nil)
	if len(c.Delete) != 1 || c.Delete[0].ID != 2 || len(c.Positions[0].Parts) != 5 || !slices.Equal(c.Positions[0].Row.Members, []uint64{1}) {
		t.Errorf("a leave: %+v, row %+v", c.Delete, c.Positions[0].Row)
	}
	if runs := c.Positions[0].Parts[2]; len(runs) != 1 || runs[0] != (stores.Run{Subscription: 1, First: 2048, Last: 3071}) {
		t.Errorf("a part that one member holds: %v", runs)
	}
	s.leave(a, false, 0)
	if c, _ = s.takeChanges(nil); len(c.Delete) != 1 || !slices.Equal(c.Drop, []uint64{1}) || len(c.Positions) != 0 {
		t.Errorf("the end: %+v", c)
	}
}

// A client that has not come back after a server start is sent nothing. Other members take new messages.
func TestUnreachableIsSentNothing(t *testing.T) {
	t.Parallel()
	s := state{queue: true}
	a, b := active(&s, 1, 2), active(&s, 2, 2)
	s.sent(a, 1, -time.Hour)
	s.sent(b, 2, -time.Hour)
	away := a.client.(*fakeClient)
	away.unreachable.Store(true)
	if n := s.window(); n != 1 {
		t.Errorf("window %d, want 1, that of the other member", n)
	}
	for range 3 {
		if m := s.pick(false); m != b {
			t.Errorf("picked %+v", m)
		}
	}
	if due := allDue(&s, 0); len(due) != 2 {
		t.Errorf("due: %+v", due)
	}
	if m := s.pick(true); m != b {
		t.Errorf("what the client holds that is away goes to %+v", m)
	}
	if at, ok := s.nextDue(); !ok || at < 0 {
		t.Errorf("next due at %v: the group would not sleep", at)
	}
	b.client.(*fakeClient).unreachable.Store(true)
	away.unreachable.Store(true)
	if s.pick(false) != nil || s.pick(true) != nil || s.window() != 0 {
		t.Error("a member is picked though none is reachable")
	}
	if _, ok := s.nextDue(); ok {
		t.Error("a message is due though no member is reachable")
	}
}

// A client that fails heartbeats gets no redeliveries, unless its group has several members or it has just resumed.
func TestUnhealthyIsNotFlooded(t *testing.T) {
	t.Parallel()
	for _, queue := range []bool{false, true} {
		s := state{queue: queue}
		m := active(&s, 1, 2)
		s.sent(m, 1, -time.Hour)
		m.client.(*fakeClient).ailing.Store(true)
		if got := len(allDue(&s, 0)); (got == 1) != queue {
			t.Errorf("queue group %v: %d messages due", queue, got)
		}
		if s.pick(false) != m {
			t.Error("new messages are no longer sent")
		}
		m.resuming = true
		if got := len(allDue(&s, time.Hour)); got != 1 {
			t.Errorf("resumed: %d messages due", got)
		}
	}
}

// What a group of a pattern passes is written with the next message, or after many of them. Its pattern is written with new
// subscriptions, and removed with the group.
func TestPassing(t *testing.T) {
	t.Parallel()
	s := state{}
	m := active(&s, 1, 10)
	c, _ := s.takeChanges(nil)
	if s.takePattern("a.*", &c); len(c.Wildcards) != 1 || c.Wildcards[0] != (stores.Wildcard{Consumer: 1, Pattern: "a.*"}) {
		t.Errorf("the first subscription: %+v", c)
	}
	s.pass(passStep - 1)
	s.pass(7)
	if c, _ := s.takeChanges(nil); !c.Empty() || s.lastSent != passStep-1 {
		t.Errorf("a write after few messages passed: %+v, last sent %d", c, s.lastSent)
	}
	s.pass(passStep)
	c, _ = s.takeChanges(nil)
	if s.takePattern("a.*", &c); len(c.Positions) != 1 || c.Positions[0].Row.LastSent != passStep || len(c.Wildcards) > 0 {
		t.Errorf("a step: %+v", c)
	}
	s.pass(passStep + 1)
	s.sent(m, passStep+3, 0)
	if c, _ := s.takeChanges(nil); len(c.Positions) != 1 || c.Positions[0].Row.LastSent != passStep+3 {
		t.Errorf("a message: %+v", c)
	}
	s.leave(m, false, 0)
	c, _ = s.takeChanges(nil)
	if s.takePattern("a.*", &c); len(c.DropWildcards) != 1 || len(c.Drop) != 1 {
		t.Errorf("the end: %+v", c)
	}
	if s.takePattern("", &c); len(c.DropWildcards) != 1 {
		t.Errorf("a channel: %+v", c)
	}
}
