package fuzz

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

// sequencesPerServer is the number of inputs after which a server is stopped and its goroutines are counted.
const sequencesPerServer = 200

// randomSequences is the number of random seeds. They are the same on each run.
const randomSequences = 50

// maxInput bounds the length of a sequence in bytes. A step takes up to six.
const maxInput = 300

// FuzzSequences runs a sequence of requests and acks. The model in this package must allow every answer and every
// delivered message. At the end, every subscriber gets what it is owed, a new one gets every message, and nothing is
// left behind.
func FuzzSequences(f *testing.F) {
	for _, s := range sequenceSeeds {
		f.Add([]byte(s))
	}
	for n := range randomSequences {
		r := rand.New(rand.NewPCG(uint64(n), 0))
		b := make([]byte, maxInput)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	var i *instance
	f.Cleanup(func() {
		if i != nil {
			i.stop(f)
		}
	})
	n, failed := 0, false
	f.Fuzz(func(t *testing.T, input []byte) {
		if n++; i != nil && (n%sequencesPerServer == 0 || failed) {
			i.stop(t)
			i = nil
		}
		if i == nil {
			i = startInstance(t, "sqlite", ":memory:")
		}
		failed = true
		m := newModel(t, i, fmt.Sprint(n))
		m.run(input[:min(len(input), maxInput)])
		m.finish()
		failed = false
	})
}

// steps reads a sequence byte by byte, followed by endless zeros. A digit stands for its value.
type steps []byte

func (s *steps) next() int {
	if len(*s) == 0 {
		return 0
	}
	b := (*s)[0]
	*s = (*s)[1:]
	if b >= '0' && b <= '9' {
		return int(b - '0')
	}
	return int(b)
}

// The first byte of each step, followed by its arguments. They are letters to make seeds readable.
const (
	stepConnect     = 'C' // client, kind of client
	stepPublish     = 'P' // client, channel
	stepSubscribe   = 'S' // client, channel, kind of subscription, start position, MaxInFlight
	stepAck         = 'A' // subscription, which message
	stepBadAck      = 'B' // subscription, sequence
	stepUnsubscribe = 'U' // subscription, which inbox and client
	stepSubClose    = 'L' // subscription, which inbox and client
	stepClose       = 'X' // client
	stepPing        = 'I' // client
)

const stepNames = "CPSABULXI"

// sequenceSeeds are the initial sequences. Client 0 never connects.
var sequenceSeeds = []string{
	// A durable closes with unacknowledged messages and is resumed.
	"C00P10P10P10S10142A00L00P10S10142A10A10X1",
	// A client with subscriptions is replaced. Its former connection publishes.
	"C00S10041P10P10C00P10P20I1I2P20X2",
	// A client that answers heartbeats is not replaced.
	"C02C03P10X1",
	// A client of protocol 0.
	"C03S10042P10I1X1P10",
	// Members of a queue group come and go with unacknowledged messages.
	"C00C10S10243P10P10S20243P10P10A00L00P10",
	"C00C10S10243P10P10S20243P10P10A00L00A10P10S10240U10P10",
	// Members acknowledge messages sent to others.
	"C00C10S10243S20243P10P10P10P10A00A10",
	// A durable queue group loses its last member. Another client joins.
	"C00C10S10342P10P10P10X1P20S20341A10A10U10",
	// Start positions, on an empty and on a filled channel.
	"C00S10000S10010S10020S10030S10040P10P10P10S10000S10010S10020S10030S10040",
	// Acks without effect, and requests about unknown objects.
	"C00S10041B09P10P10B01B02A00U02U03U04L00L01U00B00X1P10S10141I1I0",
	// Two channels.
	"C00P10P11P10P11S10142S11142S10244S11244A00A10A20A30",
}

func (m *model) run(input []byte) {
	s := steps(input)
	for len(s) > 0 {
		step := s.next()
		if !strings.ContainsRune(stepNames, rune(step)) {
			step = int(stepNames[step%len(stepNames)])
		}
		switch step {
		case stepConnect:
			m.connectClient(s.next(), s.next())
		case stepPublish:
			m.publishMessage(m.client(s.next()), m.channel(s.next()))
		case stepSubscribe:
			m.addSubscription(m.client(s.next()), m.channel(s.next()), s.next(), s.next(), s.next())
		case stepAck:
			if sub := m.subscription(s.next()); sub != nil {
				m.ackOne(sub, s.next())
			}
		case stepBadAck:
			if sub := m.subscription(s.next()); sub != nil {
				m.ackAbsent(sub, s.next())
			}
		case stepUnsubscribe:
			if sub := m.subscription(s.next()); sub != nil {
				m.endSubscription(sub, unsubscribeSubject, s.next())
			}
		case stepSubClose:
			if sub := m.subscription(s.next()); sub != nil {
				m.endSubscription(sub, subCloseSubject, s.next())
			}
		case stepClose:
			m.closeConnection(m.client(s.next()))
		case stepPing:
			m.pingServer(m.client(s.next()))
		}
	}
}

// connectClient connects with one of two client IDs.
func (m *model) connectClient(id, kind int) {
	m.t.Helper()
	c := &connection{id: fmt.Sprintf("client-%s-%d", m.name, id%2), connID: []byte(m.subject())}
	req := &pb.ConnectRequest{ClientID: c.id, ConnID: c.connID, Protocol: 1, HeartbeatInbox: m.subject()}
	switch kind % 4 {
	case 0, 1: // No NATS connection: nobody answers heartbeats.
		req.HeartbeatInbox = nats.NewInbox()
	case 2:
		c.lives = true
	case 3:
		c.lives, c.connID, req.ConnID, req.Protocol = true, nil, nil, 0
	}
	holder := m.registered[c.id]
	want := ""
	if holder != nil && holder.lives {
		want = errClientRegistered
	}
	m.expect(m.connect(req), want, "connect %s", c.id)
	if want != "" {
		return
	}
	if holder != nil {
		m.ended(holder)
	}
	m.registered[c.id] = c
	m.connections = append(m.connections, c)
}

func (m *model) publishMessage(c *connection, ch *channel) {
	m.t.Helper()
	n := len(ch.messages) + 1
	msg := &pb.PubMsg{ClientID: c.id, ConnID: c.connID, Guid: m.subject(), Subject: ch.name, Data: fmt.Appendf(nil, "%s message %d", ch.name, n)}
	want := ""
	if !m.identified(c) {
		want = errInvalidPublish
	} else {
		// It may be delivered before it is acknowledged.
		ch.messages = append(ch.messages, string(msg.Data))
		ch.exists = true
	}
	m.expect(m.publish(msg), want, "publish to %s", ch.name)
}

// identified reports whether the server accepts the publisher of a connection: by its connection ID or, without one, by
// its client ID.
func (m *model) identified(c *connection) bool {
	if c.connID == nil {
		return m.registered[c.id] != nil
	}
	return m.registered[c.id] == c
}

func (m *model) addSubscription(c *connection, ch *channel, kind, start, maxInFlight int) {
	m.t.Helper()
	if m.registered[c.id] != c && m.registered[c.id] != nil {
		return // it is undefined whether the server tells a replaced client from its successor
	}
	req := &pb.SubscriptionRequest{
		ClientID: c.id, Subject: ch.name, Inbox: m.subject(), AckWaitInSecs: ackWait, MaxInFlight: int32(maxInFlight%4 + 1),
		StartPosition: pb.StartPosition(start % 5), StartSequence: uint64(start / 5),
		StartTimeDelta: int64(patience) * int64(start%3-1),
	}
	key := groupKey{}
	switch kind % 4 {
	case 1:
		req.DurableName = "durable"
		key = groupKey{client: c.id, name: "durable", durable: true}
	case 2:
		req.QGroup = "queue"
		key = groupKey{name: "queue"}
	case 3:
		req.DurableName, req.QGroup = "durable", "queue"
		key = groupKey{name: "durable:queue", durable: true}
	}
	want := ""
	g := ch.groups[key]
	if m.registered[c.id] == nil {
		want = errUnknownClient
	} else {
		ch.exists = true
		if g != nil && key.client != "" && len(g.members) > 0 {
			want = errDuplicateDurable
		}
	}
	if want == "" && g == nil {
		g = &group{key: key, unacked: make(map[uint64]*subscription), owed: make(map[uint64]bool), last: ch.startAfter(req)}
		if key != (groupKey{}) {
			ch.groups[key] = g
		}
	}
	sub := &subscription{group: g, channel: ch, owner: c, inbox: req.Inbox, max: int(req.MaxInFlight), active: true}
	if want == "" {
		// Messages may follow immediately after the answer.
		m.byInbox[sub.inbox] = sub
	}
	var got string
	sub.ackInbox, got = m.subscribe(req)
	m.expect(got, want, "subscribe %v", req)
	if want != "" {
		return
	}
	if len(g.members) == 0 {
		for seq := range g.unacked {
			g.owed[seq] = true // a resumed durable gets its unacknowledged messages again
		}
	}
	g.members = append(g.members, sub)
	m.subscriptions = append(m.subscriptions, sub)
}

// startAfter returns the sequence before a request's start position. Messages are never removed and are all younger than
// patience.
func (ch *channel) startAfter(req *pb.SubscriptionRequest) uint64 {
	last := uint64(len(ch.messages))
	switch req.StartPosition {
	case pb.StartPosition_NewOnly:
		return last
	case pb.StartPosition_LastReceived:
		return max(last, 1) - 1
	case pb.StartPosition_SequenceStart:
		return min(max(req.StartSequence, 1)-1, last)
	case pb.StartPosition_TimeDeltaStart:
		if req.StartTimeDelta > 0 {
			return 0
		}
		return last
	}
	return 0
}

// ackOne acknowledges a message that the subscription's group has not acknowledged yet.
func (m *model) ackOne(sub *subscription, which int) {
	m.t.Helper()
	seqs := sub.group.sequences()
	if len(seqs) == 0 || !sub.active {
		return
	}
	m.acknowledge(sub, seqs[which%len(seqs)])
}

// ackAbsent acknowledges a message that the group was not sent, on an inbox that may be closed.
func (m *model) ackAbsent(sub *subscription, which int) {
	m.t.Helper()
	m.ack(sub.ackInbox, sub.channel.name, uint64(len(sub.channel.messages)+1+which))
	if !sub.active && !sub.group.lives() {
		for _, seq := range sub.group.sequences() {
			m.ack(sub.ackInbox, sub.channel.name, seq)
		}
	}
}

// endSubscription unsubscribes or closes, by ack inbox or data inbox, or in a way that must be refused.
func (m *model) endSubscription(sub *subscription, subject string, how int) {
	m.t.Helper()
	req := &pb.UnsubscribeRequest{ClientID: sub.owner.id, Subject: sub.channel.name, Inbox: sub.ackInbox}
	want := ""
	switch how % 5 {
	case 1:
		req.Inbox = sub.inbox
	case 2:
		req.ClientID, want = "stranger", errUnknownClient
	case 3:
		req.Subject, want = "nowhere", errUnknownChannel
	case 4:
		req.Inbox, want = "nothing", errInvalidSub
	}
	if !sub.active && want != errUnknownChannel {
		want = errInvalidSub
	}
	m.expect(m.unsubscribe(subject, req), want, "%s %v", subject, req)
	if want == "" {
		m.left(sub, subject == unsubscribeSubject)
	}
}

func (m *model) closeConnection(c *connection) {
	m.t.Helper()
	switch m.registered[c.id] {
	case c:
		m.expect(m.closeClient(c.id), "", "close %s", c.id)
		m.ended(c)
	case nil:
		m.expect(m.closeClient(c.id), errUnknownClient, "close %s", c.id)
	}
}

func (m *model) pingServer(c *connection) {
	m.t.Helper()
	if c.connID == nil {
		return // clients of protocol 0 do not ping
	}
	want := ""
	if m.registered[c.id] != c {
		want = errReplaced
	}
	m.expect(m.ping(c.connID), want, "ping of %s", c.id)
}
