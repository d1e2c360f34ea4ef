package fuzz

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

// The channels that the witness subscribes to.
const (
	plainChannel = "plain"
	eventChannel = "eventstore.fuzz"
)

// witness is a client that exists throughout the test. It expects the messages that it publishes, in order.
type witness struct {
	*instance
	*mailbox
	driver   string
	subs     map[string]*witnessed // by channel
	channels map[string]string     // existing channels, by lower-case name
	ids      map[string]bool       // stored event IDs
	n        int
}

// witnessed is a subscription of the witness.
type witnessed struct {
	inbox, ackInbox string
	last            uint64
	expect          func(*pb.MsgProto) // checks the next message; nil if none is expected
}

const (
	witnessID   = "witness"
	witnessConn = "witness-connection"
)

func newWitness(t testing.TB, driver, source string) *witness {
	t.Helper()
	w := &witness{
		instance: startInstance(t, driver, source),
		driver:   driver,
		subs:     make(map[string]*witnessed),
		channels: make(map[string]string),
		ids:      make(map[string]bool),
	}
	w.mailbox = newMailbox(t, w.instance.nc, w.receive)
	connect := &pb.ConnectRequest{ClientID: witnessID, ConnID: []byte(witnessConn), Protocol: 1, HeartbeatInbox: w.subject()}
	if got := w.connect(connect); got != "" {
		t.Fatal(got)
	}
	for _, ch := range []string{plainChannel, eventChannel} {
		s := &witnessed{inbox: w.subject()}
		w.subs[ch] = s
		var failure string
		s.ackInbox, failure = w.subscribe(&pb.SubscriptionRequest{
			ClientID: witnessID, Subject: ch, Inbox: s.inbox, MaxInFlight: 1, AckWaitInSecs: ackWait, DurableName: "witness",
		})
		if failure != "" {
			t.Fatal(failure)
		}
		w.channels[ch] = ch
	}
	return w
}

// use makes failures count for the current test.
func (w *witness) use(t testing.TB) { w.t = t }

func (w *witness) stop(t testing.TB) {
	w.use(t)
	w.close()
	w.instance.stop(t)
}

func (w *witness) send(target uint8, data []byte) {
	targets[int(target)%len(targets)].check(w, data)
}

// receive handles unsolicited messages: heartbeats and deliveries.
func (w *witness) receive(m *nats.Msg) {
	w.t.Helper()
	for ch, s := range w.subs {
		if s.inbox != m.Subject {
			continue
		}
		var msg pb.MsgProto
		decode(w.t, m.Data, &msg)
		if msg.Sequence != s.last+1 || msg.Subject != ch || msg.Redelivered || msg.Timestamp == 0 || s.expect == nil {
			w.t.Fatalf("got message %v on %q after %d", &msg, ch, s.last)
		}
		s.expect(&msg)
		s.last, s.expect = msg.Sequence, nil
		w.ack(s.ackInbox, ch, msg.Sequence)
		return
	}
	if m.Reply == "" {
		w.t.Fatalf("got %q on the unknown subject %s", m.Data, m.Subject)
	}
	if err := m.Respond(nil); err != nil {
		w.t.Fatal(err)
	}
}

// live checks that the witness is connected and receives what it publishes.
func (w *witness) live() {
	w.t.Helper()
	if got := w.ping([]byte(witnessConn)); got != "" {
		w.t.Fatalf("ping: %s", got)
	}
	w.n++
	msg := &pb.PubMsg{ClientID: witnessID, ConnID: []byte(witnessConn), Guid: fmt.Sprint(w.n), Subject: plainChannel, Data: fmt.Append(nil, w.n)}
	w.published(plainChannel, msg, func() {
		if got := w.publish(msg); got != "" {
			w.t.Fatalf("publish: %s", got)
		}
	})
}

// published calls publish, then waits until the witness receives the message. If the message is refused, publish clears
// the expectation.
func (w *witness) published(ch string, msg *pb.PubMsg, publish func()) {
	w.t.Helper()
	s := w.subs[ch]
	s.expect = func(got *pb.MsgProto) {
		// The server appends the version that it assigns to an event.
		if got.Reply != msg.Reply || !bytes.HasPrefix(got.Data, msg.Data) || ch == plainChannel && len(got.Data) != len(msg.Data) {
			w.t.Fatalf("got message %v, want the published %v", got, msg)
		}
	}
	publish()
	for s.expect != nil {
		w.receive(w.next("the message that was published"))
	}
}

func (w *witness) expect(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Fatalf("got error %q, want %q", got, want)
	}
}
