package fuzz

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

// model is what a server must keep, as far as clients can observe it.
type model struct {
	*mailbox
	server *instance
	name   string // part of all names, because other models use the same server

	connections   []*connection          // all ever made
	registered    map[string]*connection // by client ID
	channels      []*channel
	subscriptions []*subscription          // all ever made
	byInbox       map[string]*subscription // by data inbox
}

type connection struct {
	id     string
	connID []byte // nil for a client of protocol 0
	lives  bool   // answers heartbeats
}

type channel struct {
	name     string
	exists   bool
	messages []string // by sequence, from 1
	groups   map[groupKey]*group
}

// groupKey names the group that a subscription joins. Plain subscriptions have the zero key and join none.
type groupKey struct {
	client, name string
	durable      bool
}

// group is a set of subscriptions that share a position.
type group struct {
	key     groupKey
	last    uint64 // last sequence sent
	members []*subscription
	// unacked maps the unacknowledged messages to the member that each was last sent to.
	unacked map[uint64]*subscription
	// owed are the unacknowledged messages that must be redelivered because a member left.
	owed map[uint64]bool
}

type subscription struct {
	group           *group
	channel         *channel
	owner           *connection
	inbox, ackInbox string
	max             int // limit of unacknowledged messages
	active          bool
	// forOthers are messages acknowledged on this inbox that had been sent to another member.
	forOthers []uint64
}

func newModel(t testing.TB, i *instance, name string) *model {
	m := &model{server: i, name: name, registered: make(map[string]*connection), byInbox: make(map[string]*subscription)}
	m.mailbox = newMailbox(t, i.nc, m.receive)
	for n := range 2 {
		m.channels = append(m.channels, &channel{name: fmt.Sprintf("channel.%s.%d", name, n), groups: make(map[groupKey]*group)})
	}
	// Before any client has connected, steps refer to one that never does.
	m.connections = []*connection{{id: "client-" + name + "-0", connID: []byte("never")}}
	return m
}

func (m *model) channel(n int) *channel { return m.channels[n%len(m.channels)] }

func (m *model) client(n int) *connection {
	return pick(m.connections, n, func(c *connection) bool { return m.registered[c.id] == c })
}

func (m *model) subscription(n int) *subscription {
	if len(m.subscriptions) == 0 {
		return nil
	}
	return pick(m.subscriptions, n, func(s *subscription) bool { return s.active })
}

// pick returns the nth of all for a digit. Random input has mostly larger numbers; these prefer elements in use, because
// other steps have no effect.
func pick[T any](all []T, n int, inUse func(T) bool) T {
	if n > 9 && n%8 > 0 {
		used := slices.DeleteFunc(slices.Clone(all), func(x T) bool { return !inUse(x) })
		if len(used) > 0 {
			all = used
		}
	}
	return all[n%len(all)]
}

func (m *model) expect(got, want, format string, args ...any) {
	m.t.Helper()
	if got != want {
		m.t.Fatalf("%s: got error %q, want %q", fmt.Sprintf(format, args...), got, want)
	}
}

// lives reports whether the server keeps the group.
func (g *group) lives() bool { return len(g.members) > 0 || g.key.durable }

func (g *group) sequences() []uint64 { return slices.Sorted(maps.Keys(g.unacked)) }

// held counts the messages that a member has not acknowledged.
func (g *group) held(sub *subscription) int {
	n := 0
	for _, holder := range g.unacked {
		if holder == sub {
			n++
		}
	}
	return n
}

// receive checks unsolicited messages: heartbeats and deliveries.
func (m *model) receive(msg *nats.Msg) {
	m.t.Helper()
	sub := m.byInbox[msg.Subject]
	if sub == nil {
		if msg.Reply == "" {
			m.t.Fatalf("got %q on the unknown subject %s", msg.Data, msg.Subject)
		}
		if err := msg.Respond(nil); err != nil {
			m.t.Fatal(err)
		}
		return
	}
	var got pb.MsgProto
	decode(m.t, msg.Data, &got)
	g, ch := sub.group, sub.channel
	if !sub.active {
		m.t.Fatalf("got message %v for an ended subscription", &got)
	}
	if got.Sequence == 0 || got.Sequence > uint64(len(ch.messages)) || got.Subject != ch.name || string(got.Data) != ch.messages[got.Sequence-1] {
		m.t.Fatalf("got message %v, which was not published", &got)
	}
	if got.Redelivered != (got.RedeliveryCount > 0) {
		m.t.Fatalf("got message %v", &got)
	}
	if got.Redelivered {
		if got.Sequence > g.last {
			m.t.Fatalf("message %d of %s is flagged as redelivered, but the last one sent was %d", got.Sequence, ch.name, g.last)
		}
		delete(g.owed, got.Sequence)
		if _, ok := g.unacked[got.Sequence]; ok {
			g.unacked[got.Sequence] = sub
		} else {
			// The ack is in flight, or lost if it went to a member that left.
			m.ack(sub.ackInbox, ch.name, got.Sequence)
		}
		return
	}
	if got.Sequence != g.last+1 {
		m.t.Fatalf("got message %d of %s, the last one sent was %d", got.Sequence, ch.name, g.last)
	}
	g.last = got.Sequence
	g.unacked[got.Sequence] = sub
	if n := g.held(sub); n > sub.max {
		m.t.Fatalf("message %d of %s makes %d unacknowledged messages, MaxInFlight is %d", got.Sequence, ch.name, n, sub.max)
	}
}

func (m *model) acknowledge(sub *subscription, seq uint64) {
	m.t.Helper()
	if sub.group.unacked[seq] != sub {
		sub.forOthers = append(sub.forOthers, seq)
	}
	delete(sub.group.unacked, seq)
	delete(sub.group.owed, seq)
	m.ack(sub.ackInbox, sub.channel.name, seq)
}

// left records the end of a subscription.
func (m *model) left(sub *subscription, unsubscribed bool) {
	g := sub.group
	sub.active = false
	g.members = slices.DeleteFunc(g.members, func(x *subscription) bool { return x == sub })
	if len(g.members) > 0 {
		for seq, holder := range g.unacked {
			if holder == sub {
				g.owed[seq] = true
			}
		}
		// Acks that the server has not received when the inbox ends are lost. Messages sent to the leaver are
		// redelivered and acknowledged again; those sent to others are not.
		for _, seq := range sub.forOthers {
			m.acknowledge(g.members[0], seq)
		}
		return
	}
	clear(g.owed)
	if g.key != (groupKey{}) && (!g.key.durable || unsubscribed) {
		delete(sub.channel.groups, g.key)
	}
}

// ended records the end of a connection and of its subscriptions.
func (m *model) ended(c *connection) {
	delete(m.registered, c.id)
	for _, sub := range m.subscriptions {
		if sub.active && sub.owner == c {
			m.left(sub, false)
		}
	}
}

// finish checks that every group gets what it is owed and that the channels hold what was published. Then it ends
// everything.
func (m *model) finish() {
	m.t.Helper()
	m.resumeAll()
	for _, sub := range m.subscriptions {
		if sub.active {
			m.drain(sub)
		}
	}
	for _, ch := range m.channels {
		m.fill(ch)
	}
	m.replayAll()
	for _, sub := range m.subscriptions {
		if sub.active {
			m.endSubscription(sub, unsubscribeSubject, 0)
		}
	}
	for _, c := range m.connections {
		if m.registered[c.id] == c {
			m.closeConnection(c)
		}
	}
	m.close()
	m.server.awaitGoroutines(m.t, "though all subscriptions ended", func(_, stack string) bool {
		return strings.Contains(stack, "server.(*group)") || strings.Contains(stack, "startHeartbeats")
	})
}

// resumeAll gives every inactive durable a member.
func (m *model) resumeAll() {
	m.t.Helper()
	for _, ch := range m.channels {
		for key, g := range ch.groups {
			if len(g.members) > 0 {
				continue
			}
			id := key.client
			if id == "" {
				id = "client-" + m.name + "-0"
			}
			if m.registered[id] == nil {
				m.connectClient(int(id[len(id)-1]-'0'), 0)
			}
			kind := 1
			if key.client == "" {
				kind = 3
			}
			m.addSubscription(m.registered[id], ch, kind, 0, 0)
		}
	}
}

// drain acknowledges until the subscription's group has received all messages.
func (m *model) drain(sub *subscription) {
	m.t.Helper()
	g := sub.group
	for {
		for _, seq := range g.sequences() {
			if !g.owed[seq] {
				m.acknowledge(sub, seq)
			}
		}
		if g.last == uint64(len(sub.channel.messages)) && len(g.owed) == 0 {
			return
		}
		m.other(m.next(fmt.Sprintf("messages of %s after %d up to %d, and redeliveries of %v", sub.channel.name, g.last, len(sub.channel.messages), g.owed)))
	}
}

// fill publishes as many messages as the channel's subscribers may hold, and waits until they hold them. If an ack was
// not counted, fewer fit.
func (m *model) fill(ch *channel) {
	m.t.Helper()
	room := make(map[*group]int)
	for _, sub := range m.subscriptions {
		if sub.active && sub.channel == ch {
			room[sub.group] += sub.max
		}
	}
	most := 0
	for _, n := range room {
		most = max(most, n)
	}
	before := len(ch.messages)
	for range most {
		m.publishMessage(m.anyone(), ch)
	}
	for g, n := range room {
		for g.last < uint64(before+n) {
			m.other(m.next(fmt.Sprintf("messages of %s after the acknowledged %d, up to %d", ch.name, g.last, before+n)))
		}
	}
}

// anyone returns a connection of the first client ID, a new one if necessary.
func (m *model) anyone() *connection {
	m.t.Helper()
	id := m.connections[0].id
	if m.registered[id] == nil {
		m.connectClient(0, 0)
	}
	return m.registered[id]
}

// replayAll reads every channel from its first message.
func (m *model) replayAll() {
	m.t.Helper()
	for _, ch := range m.channels {
		m.addSubscription(m.anyone(), ch, 0, 4, 3)
		m.drain(m.subscriptions[len(m.subscriptions)-1])
	}
}
