package fuzz

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/stan.go/pb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	protobuf "google.golang.org/protobuf/proto"
)

// requestsPerServer is the number of inputs after which a server is stopped and its goroutines are counted.
const requestsPerServer = 1000

// FuzzRequests sends raw bytes to a STAN subject. The answer must be the one that the protocol requires, and an existing
// client must not be affected.
func FuzzRequests(f *testing.F) {
	for _, s := range requestSeeds(f) {
		f.Add(s.target, s.data)
	}
	var w *witness
	f.Cleanup(func() {
		if w != nil {
			w.stop(f)
		}
	})
	n := 0
	f.Fuzz(func(t *testing.T, target uint8, data []byte) {
		if n++; w != nil && (n%requestsPerServer == 0 || w.t.Failed()) {
			w.stop(t)
			w = nil
		}
		if w == nil {
			w = newWitness(t, "sqlite", ":memory:")
		}
		w.use(t)
		w.send(target, data)
		w.live()
	})
}

// subject is a STAN subject with a function that sends bytes to it and checks the answer.
type subject struct {
	name  string
	check func(w *witness, data []byte)
}

var targets = []subject{
	{"connect", (*witness).onConnect},
	{"ping", (*witness).onPing},
	{"publish", func(w *witness, data []byte) { w.onPublish(plainChannel, data) }},
	{"publish an event", func(w *witness, data []byte) { w.onPublish(eventChannel, data) }},
	{"publish elsewhere", func(w *witness, data []byte) { w.onPublish(strings.ToUpper(plainChannel), data) }},
	{"subscribe", (*witness).onSubscribe},
	{"unsubscribe", func(w *witness, data []byte) { w.onUnsubscribe(unsubscribeSubject, errInvalidUnsubscribe, data) }},
	{"sub-close", func(w *witness, data []byte) { w.onUnsubscribe(subCloseSubject, errInvalidUnsubscribe, data) }},
	{"close", (*witness).onClose},
	{"ack", (*witness).onAck},
}

type requestSeed struct {
	target uint8
	data   []byte
}

// requestSeeds returns, for each subject, requests that are refused for each reason, and one that is accepted.
func requestSeeds(t testing.TB) []requestSeed {
	t.Helper()
	var seeds []requestSeed
	add := func(name string, messages ...encoder) {
		t.Helper()
		target := slices.IndexFunc(targets, func(s subject) bool { return s.name == name })
		if target < 0 {
			t.Fatalf("no subject %q", name)
		}
		for _, b := range [][]byte{nil, {0}, {0xff}, []byte("\x0a\x7f"), bytes.Repeat([]byte{0x80}, 16), []byte("\xea\xff\xff\xff\x0f\x01")} {
			seeds = append(seeds, requestSeed{uint8(target), b})
		}
		for _, m := range messages {
			b := encode(t, m)
			seeds = append(seeds, requestSeed{uint8(target), b}, requestSeed{uint8(target), append(b, 0x0a)})
		}
	}
	add("connect", &pb.ConnectRequest{ClientID: "new"}, &pb.ConnectRequest{ClientID: "a b", HeartbeatInbox: "_INBOX.hb"},
		&pb.ConnectRequest{ClientID: witnessID, HeartbeatInbox: "_INBOX.hb"}, &pb.ConnectRequest{ClientID: "old", HeartbeatInbox: "_INBOX.hb"},
		&pb.ConnectRequest{ClientID: strings.Repeat("n", maxColumn), HeartbeatInbox: "_INBOX." + strings.Repeat("h", maxColumn-7)},
		&pb.ConnectRequest{ClientID: strings.Repeat("n", 2*maxColumn), HeartbeatInbox: "_INBOX." + strings.Repeat("h", 70000)},
		&pb.ConnectRequest{ClientID: "new", HeartbeatInbox: " >*\x00\xff", ConnID: []byte(witnessConn), Protocol: 1, PingInterval: -5, PingMaxOut: 1 << 30},
		&pb.ConnectRequest{ClientID: "new", HeartbeatInbox: "$JS.API.STREAM.DELETE.ORDERS"}, &pb.ConnectRequest{ClientID: "new", HeartbeatInbox: discoverSubject},
		&pb.ConnectRequest{ClientID: "new", HeartbeatInbox: "_INBOX." + clusterID + ".acks.x"}, &pb.ConnectRequest{ClientID: "new", HeartbeatInbox: "_INBOX..x"})
	add("ping", &pb.Ping{ConnID: []byte(witnessConn)}, &pb.Ping{ConnID: []byte("?")})
	good := pb.PubMsg{ClientID: witnessID, ConnID: []byte(witnessConn), Guid: "g", Subject: plainChannel, Reply: "r", Data: []byte("d")}
	variant := func(change func(*pb.PubMsg)) *pb.PubMsg { m := good; change(&m); return &m }
	add("publish", &good, variant(func(m *pb.PubMsg) { m.Guid = "" }), variant(func(m *pb.PubMsg) { m.Subject = "a..b" }),
		variant(func(m *pb.PubMsg) { m.ConnID = nil }), variant(func(m *pb.PubMsg) { m.ConnID = []byte("?") }),
		variant(func(m *pb.PubMsg) { m.Subject = "other" }), variant(func(m *pb.PubMsg) { m.Data, m.Reply = nil, "" }),
		&spb.CtrlMsg{MsgType: spb.CtrlMsg_Partitioning, ServerID: "s", Data: []byte("d")})
	event := func(e *eventstorev1.Event) *pb.PubMsg {
		b, err := protobuf.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return variant(func(m *pb.PubMsg) { m.Subject, m.Data = eventChannel, b })
	}
	add("publish an event", variant(func(m *pb.PubMsg) { m.Subject = eventChannel }), event(&eventstorev1.Event{AggregateId: "a"}),
		event(&eventstorev1.Event{AggregateId: "a", EventType: "T"}),
		event(&eventstorev1.Event{AggregateId: "a", EventType: "T", EventVersion: 1 << 63}),
		event(&eventstorev1.Event{AggregateId: "b\x00", AggregateType: "A", EventType: "T", EventVersion: 1, EventId: "1", EventData: []byte(`{"a":"\u0000"}`)}))
	add("publish elsewhere", &good, variant(func(m *pb.PubMsg) { m.Subject = strings.ToUpper(plainChannel) }))
	sub := pb.SubscriptionRequest{ClientID: witnessID, Subject: plainChannel, Inbox: "_INBOX.i", MaxInFlight: 1, AckWaitInSecs: 1}
	other := func(change func(*pb.SubscriptionRequest)) *pb.SubscriptionRequest { m := sub; change(&m); return &m }
	add("subscribe", &sub, other(func(m *pb.SubscriptionRequest) { m.ClientID = "" }), other(func(m *pb.SubscriptionRequest) { m.ClientID = "?" }),
		other(func(m *pb.SubscriptionRequest) { m.AckWaitInSecs = -1 }), other(func(m *pb.SubscriptionRequest) { m.MaxInFlight = 0 }),
		other(func(m *pb.SubscriptionRequest) { m.StartPosition = 5 }), other(func(m *pb.SubscriptionRequest) { m.StartPosition = 4; m.MaxInFlight = 1<<31 - 1 }),
		other(func(m *pb.SubscriptionRequest) { m.StartPosition = 3; m.StartSequence = 1<<64 - 1 }),
		other(func(m *pb.SubscriptionRequest) { m.StartPosition = 2; m.StartTimeDelta = -1 << 63 }),
		other(func(m *pb.SubscriptionRequest) { m.StartPosition = 2; m.StartTimeDelta = 1<<63 - 1 }),
		other(func(m *pb.SubscriptionRequest) { m.AckWaitInSecs = 1<<31 - 1; m.StartPosition = 4 }),
		other(func(m *pb.SubscriptionRequest) { m.Subject = "a/b" }), other(func(m *pb.SubscriptionRequest) { m.Subject = "PLAIN" }),
		other(func(m *pb.SubscriptionRequest) { m.Subject = strings.Repeat("long", 200) }),
		other(func(m *pb.SubscriptionRequest) { m.Subject = strings.Repeat("long", 500) }),
		other(func(m *pb.SubscriptionRequest) {
			m.Inbox, m.DurableName, m.QGroup = "_INBOX."+strings.Repeat("i", 5000), strings.Repeat("d", 5000), strings.Repeat("q", 50000)
		}),
		other(func(m *pb.SubscriptionRequest) { m.Subject = "new channel \x00\xff" }), other(func(m *pb.SubscriptionRequest) { m.Inbox = "" }),
		other(func(m *pb.SubscriptionRequest) { m.Inbox = closeSubject; m.StartPosition = 4 }),
		other(func(m *pb.SubscriptionRequest) { m.QGroup = "q"; m.DurableName = "a:b" }), other(func(m *pb.SubscriptionRequest) { m.QGroup = "q\x00" }),
		other(func(m *pb.SubscriptionRequest) { m.QGroup = "q"; m.DurableName = "d" }), other(func(m *pb.SubscriptionRequest) { m.DurableName = "witness" }))
	for _, to := range []string{"unsubscribe", "sub-close"} {
		add(to, &pb.UnsubscribeRequest{ClientID: witnessID, Subject: plainChannel, Inbox: "?"}, &pb.UnsubscribeRequest{ClientID: witnessID, Subject: "none", Inbox: "?"},
			&pb.UnsubscribeRequest{Subject: plainChannel})
	}
	add("close", &pb.CloseRequest{ClientID: "?"})
	add("ack", &pb.Ack{Subject: plainChannel, Sequence: 1}, &pb.Ack{Subject: plainChannel, Sequence: 1<<64 - 1}, &pb.Ack{Subject: "?", Sequence: 2})
	return seeds
}
