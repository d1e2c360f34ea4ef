package fuzz

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	protobuf "google.golang.org/protobuf/proto"
)

// requestsPerServer is after how many inputs a server is stopped, and its goroutines are counted.
const requestsPerServer = 1000

// FuzzRequests sends raw bytes to one of the STAN subjects. The answer must be the one that the protocol asks for, and
// a client that was there before goes on as if nothing had happened.
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

// subject is a STAN subject, what sends bytes to it and checks the answer.
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

// The channels that the witness subscribes to.
const (
	plainChannel = "plain"
	eventChannel = "eventstore.fuzz"
)

// witness is a client that lives through everything that is sent, and expects what it published, in order.
type witness struct {
	*instance
	*mailbox
	driver   string
	subs     map[string]*witnessed // by channel
	channels map[string]string     // that exist, by what they are in lower case
	ids      map[string]bool       // event IDs that are stored
	n        int
}

// witnessed is one subscription of the witness.
type witnessed struct {
	inbox, ackInbox string
	last            uint64
	expect          func(*pb.MsgProto) // what the next message is; nil: none
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

// use makes the test that runs now the one that fails.
func (w *witness) use(t testing.TB) { w.t = t }

func (w *witness) stop(t testing.TB) {
	w.use(t)
	w.close()
	w.instance.stop(t)
}

func (w *witness) send(target uint8, data []byte) {
	targets[int(target)%len(targets)].check(w, data)
}

// receive handles what comes unasked: heartbeats and messages.
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
		w.t.Fatalf("got %q on %s, which nothing was asked for", m.Data, m.Subject)
	}
	if err := m.Respond(nil); err != nil {
		w.t.Fatal(err)
	}
}

// live checks that the witness is connected, and gets what it publishes.
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

// published calls publish, and then waits until the witness got the message, unless it was refused: that is, unless publish
// cleared what is expected.
func (w *witness) published(ch string, msg *pb.PubMsg, publish func()) {
	w.t.Helper()
	s := w.subs[ch]
	s.expect = func(got *pb.MsgProto) {
		// The server appends an assigned version to an event.
		if got.Reply != msg.Reply || !bytes.HasPrefix(got.Data, msg.Data) || ch == plainChannel && len(got.Data) != len(msg.Data) {
			w.t.Fatalf("got message %v, published %v", got, msg)
		}
	}
	publish()
	for s.expect != nil {
		w.receive(w.next("the message that was published"))
	}
}

// The texts of errors, from the contract.
const (
	errInvalidConnect     = "stan: invalid connection request"
	errInvalidClientID    = "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed"
	errClientRegistered   = "stan: clientID already registered"
	errReplaced           = "client has been replaced or is no longer registered"
	errInvalidPublish     = "stan: invalid publish request"
	errMismatch           = "stan: invalid publish request: channel differs from the NATS subject"
	errInvalidSubscribe   = "stan: invalid subscription request"
	errMissingClient      = "stan: clientID missing"
	errUnknownClient      = "stan: unknown clientID"
	errInvalidAckWait     = "stan: invalid ack wait time, should be >= 1s"
	errInvalidMaxInFlight = "stan: invalid MaxInflight, should be >= 1"
	errInvalidStart       = "stan: invalid start position"
	errInvalidSubject     = "stan: invalid subject"
	errDuplicateDurable   = "stan: duplicate durable registration"
	errDurableColon       = "stan: durable name of a durable queue subscriber can't contain the character ':'"
	errInvalidUnsubscribe = "stan: invalid unsubscribe request"
	errUnknownChannel     = "stan: unknown channel"
	errInvalidSub         = "stan: invalid subscription"
	errInvalidClose       = "stan: invalid close request"
)

var validClientID = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

func (w *witness) onConnect(data []byte) {
	var req pb.ConnectRequest
	var resp pb.ConnectResponse
	err := req.Unmarshal(data)
	decode(w.t, w.request(discoverSubject, data), &resp)
	want := ""
	switch {
	case err != nil || req.HeartbeatInbox == "":
		want = errInvalidConnect
	case !validClientID.MatchString(req.ClientID):
		want = errInvalidClientID
	case req.ClientID == witnessID:
		want = errClientRegistered
	}
	if want == "" && w.refused(resp.Error, req.ClientID+req.HeartbeatInbox) {
		return
	}
	w.expect(resp.Error, want)
	if want == "" {
		checkConnected(w.t, &req, &resp)
		w.expect(w.closeClient(req.ClientID), "")
	}
}

func (w *witness) onPing(data []byte) {
	var req pb.Ping
	if err := req.Unmarshal(data); len(data) == 0 || err != nil {
		w.unanswered(pingSubject, data, func() { w.expect(w.ping([]byte(witnessConn)), "") })
		return
	}
	var resp pb.PingResponse
	decode(w.t, w.request(pingSubject, data), &resp)
	want := errReplaced
	if string(req.ConnID) == witnessConn {
		want = ""
	}
	w.expect(resp.Error, want)
}

// unanswered sends what must get no answer; after makes a request to the same subject, which is handled later.
func (w *witness) unanswered(subject string, data []byte, after func()) {
	w.t.Helper()
	silent := w.subject()
	w.mailbox.send(subject, silent, data)
	other := w.other
	w.other = func(m *nats.Msg) {
		if m.Subject == silent {
			w.t.Fatalf("got %q in answer to %q, want none", m.Data, data)
		}
		other(m)
	}
	after()
	w.other = other
}

func (w *witness) onPublish(ch string, data []byte) {
	var req pb.PubMsg
	var ctrl spb.CtrlMsg
	err := req.Unmarshal(data)
	to := publishPrefix + ch
	if err != nil && ctrl.Unmarshal(data) == nil && ctrl.ServerID != "" {
		w.unanswered(to, data, w.live) // a server's message to itself
		return
	}
	known := req.ClientID == witnessID
	if len(req.ConnID) > 0 {
		known = string(req.ConnID) == witnessConn
	}
	want := ""
	switch {
	case err != nil || req.Guid == "" || !validChannel(req.Subject) || !known:
		want = errInvalidPublish
	case req.Subject != ch:
		want = errMismatch
	case w.channels[strings.ToLower(ch)] != ch:
		want = w.wrongCase(ch)
	case ch == eventChannel:
		want = w.refusal(req.Data)
	}
	publish := func() string {
		var ack pb.PubAck
		decode(w.t, w.request(to, data), &ack)
		// Of what cannot be decoded, no more than the error is of use.
		if err == nil && ack.Guid != req.Guid {
			w.t.Fatalf("PubAck for %q, published %q", ack.Guid, req.Guid)
		}
		return ack.Error
	}
	if want != "" {
		got := publish()
		if !strings.HasPrefix(got, want) {
			w.t.Fatalf("got error %q, want %q", got, want)
		}
		return
	}
	id := ""
	if ch == eventChannel {
		if ev, err := proto.Extract(req.Data); err == nil {
			id = ev.ID
		}
	}
	if w.ids[id] {
		// Published before: acknowledged, or refused for other content, and not stored.
		if got := publish(); got != "" && !strings.HasPrefix(got, "stan: ") {
			w.t.Fatalf("got error %q", got)
		}
		return
	}
	w.published(ch, &req, func() {
		got := publish()
		switch {
		case got == "":
			w.ids[id] = id != ""
		case ch == eventChannel && conflict(got):
			w.subs[ch].expect = nil
		default:
			w.t.Fatalf("got error %q, want none", got)
		}
	})
}

// conflict reports whether an error says that an event is fine by itself and not at this time.
func conflict(text string) bool { return strings.HasPrefix(text, "stan: wrong expected version: ") }

// refusal is how the error begins that a payload gets which is no event.
func (w *witness) refusal(payload []byte) string {
	if _, err := proto.Extract(payload); err != nil {
		return "stan: "
	}
	return ""
}

func (w *witness) wrongCase(ch string) string {
	return fmt.Sprintf("rejecting channel %q because channel %q alreay exists (different cases not allowed)", ch, w.channels[strings.ToLower(ch)])
}

// validChannel refuses what some database does not hold, on every database.
func validChannel(name string) bool {
	return utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxColumn && !strings.ContainsAny(name, "/*>\x00") && !slices.Contains(strings.Split(name, "."), "")
}

func (w *witness) onSubscribe(data []byte) {
	var req pb.SubscriptionRequest
	var resp pb.SubscriptionResponse
	err := req.Unmarshal(data)
	for _, s := range w.subs {
		if req.Inbox == s.inbox {
			return // would get what the witness gets
		}
	}
	decode(w.t, w.request(subscribeSubject, data), &resp)
	other, exists := w.channels[strings.ToLower(req.Subject)]
	want := ""
	switch {
	case err != nil:
		want = errInvalidSubscribe
	case req.ClientID == "":
		want = errMissingClient
	case req.AckWaitInSecs <= 0:
		want = errInvalidAckWait
	case req.MaxInFlight <= 0:
		want = errInvalidMaxInFlight
	case req.StartPosition < 0 || req.StartPosition > 4:
		want = errInvalidStart
	case !validChannel(req.Subject):
		want = errInvalidSubject
	case req.ClientID != witnessID:
		want = errUnknownClient
	case exists && other != req.Subject:
		want = w.wrongCase(req.Subject)
	default:
		w.channels[strings.ToLower(req.Subject)] = req.Subject
		switch {
		case req.QGroup != "" && strings.Contains(req.DurableName, ":"):
			want = errDurableColon
		case req.QGroup == "" && req.DurableName == "witness" && w.subs[req.Subject] != nil:
			want = errDuplicateDurable
		}
	}
	w.expect(resp.Error, want)
	if want == "" {
		if resp.AckInbox == "" {
			w.t.Fatal("subscribed without an ack inbox")
		}
		end := &pb.UnsubscribeRequest{ClientID: witnessID, Subject: req.Subject, Inbox: resp.AckInbox}
		w.expect(w.unsubscribe(unsubscribeSubject, end), "")
		w.expect(w.unsubscribe(subCloseSubject, end), errInvalidSub)
	}
}

func (w *witness) onUnsubscribe(to, invalid string, data []byte) {
	var req pb.UnsubscribeRequest
	var resp pb.SubscriptionResponse
	err := req.Unmarshal(data)
	s := w.subs[req.Subject]
	mine := s != nil && (req.Inbox == s.inbox || req.Inbox == s.ackInbox)
	if mine && req.ClientID == witnessID {
		return // what the bytes ask for would be done
	}
	decode(w.t, w.request(to, data), &resp)
	switch {
	case err != nil:
		w.expect(resp.Error, invalid)
	case w.channels[strings.ToLower(req.Subject)] != req.Subject || req.Subject == "":
		w.expect(resp.Error, errUnknownChannel)
	case !mine:
		w.expect(resp.Error, errInvalidSub)
	default:
		w.expect(resp.Error, errUnknownClient)
	}
}

func (w *witness) onClose(data []byte) {
	var req pb.CloseRequest
	var resp pb.CloseResponse
	err := req.Unmarshal(data)
	if req.ClientID == witnessID && err == nil {
		return // what the bytes ask for would be done
	}
	decode(w.t, w.request(closeSubject, data), &resp)
	if err != nil {
		w.expect(resp.Error, errInvalidClose)
	} else {
		w.expect(resp.Error, errUnknownClient)
	}
}

// onAck sends to the ack inbox of a subscription without unacknowledged messages. Had an ack any effect, the next
// message would not come.
func (w *witness) onAck(data []byte) {
	if err := w.instance.nc.Publish(w.subs[plainChannel].ackInbox, data); err != nil {
		w.t.Fatal(err)
	}
}

// refused reports whether an error says that the database cannot store text which is too long for it, or not
// what it takes for text. SQLite can store anything.
func (w *witness) refused(failure, text string) bool {
	plain := utf8.ValidString(text) && !strings.Contains(text, "\x00") && len(text) <= maxColumn
	return !plain && w.driver != "sqlite" && strings.HasPrefix(failure, "stan: ") && strings.Contains(failure, "the database refused it")
}

// maxColumn is how many characters a client ID, an inbox and a channel name may have in NATS Streaming's schema.
const maxColumn = 1024

func (w *witness) expect(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Fatalf("got error %q, want %q", got, want)
	}
}

type requestSeed struct {
	target uint8
	data   []byte
}

// requestSeeds are, for every subject, requests that are refused for each reason, and one that is accepted.
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
	add("connect", &pb.ConnectRequest{ClientID: "new"}, &pb.ConnectRequest{ClientID: "a b", HeartbeatInbox: "hb"},
		&pb.ConnectRequest{ClientID: witnessID, HeartbeatInbox: "hb"}, &pb.ConnectRequest{ClientID: "old", HeartbeatInbox: "hb"},
		&pb.ConnectRequest{ClientID: strings.Repeat("n", maxColumn), HeartbeatInbox: strings.Repeat("h", maxColumn)},
		&pb.ConnectRequest{ClientID: strings.Repeat("n", 2*maxColumn), HeartbeatInbox: strings.Repeat("h", 70000)},
		&pb.ConnectRequest{ClientID: "new", HeartbeatInbox: " >*\x00\xff", ConnID: []byte(witnessConn), Protocol: 1, PingInterval: -5, PingMaxOut: 1 << 30})
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
	sub := pb.SubscriptionRequest{ClientID: witnessID, Subject: plainChannel, Inbox: "i", MaxInFlight: 1, AckWaitInSecs: 1}
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
			m.Inbox, m.DurableName, m.QGroup = strings.Repeat("i", 5000), strings.Repeat("d", 5000), strings.Repeat("q", 50000)
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
