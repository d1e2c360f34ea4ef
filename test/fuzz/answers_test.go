package fuzz

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Error texts of the protocol.
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

var (
	inbox    = regexp.MustCompile(`^(_INBOX(\.[^\x00- .*>\x7f]+)+|[0-9a-f]{16,32})$`)
	ownInbox = regexp.MustCompile(`^_INBOX\.` + clusterID + `\.`)
)

// isInbox reports whether the server sends to a subject that a client names.
func isInbox(subject string) bool {
	return len(subject) <= 1024 && utf8.ValidString(subject) && inbox.MatchString(subject) && !ownInbox.MatchString(subject)
}

func notInbox(what, subject string) string {
	return fmt.Sprintf("%s %.100q is not an inbox: use _INBOX.<id>, or add the prefix to inbox_prefixes of the server", what, subject)
}

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
	case !isInbox(req.HeartbeatInbox):
		want = errInvalidConnect + ": " + notInbox("heartbeat inbox", req.HeartbeatInbox)
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

// unanswered sends a request that must get no answer. after makes a later request to the same subject.
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
		// If decoding fails, only the error counts.
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
		// A duplicate is acknowledged or, with other content, refused. It is not stored.
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

// conflict reports whether an error refuses a valid event because of its version.
func conflict(text string) bool { return strings.HasPrefix(text, "stan: wrong expected version: ") }

// refusal returns the beginning of the error for a payload that is not an event.
func (w *witness) refusal(payload []byte) string {
	if _, err := proto.Extract(payload); err != nil {
		return "stan: "
	}
	return ""
}

func (w *witness) wrongCase(ch string) string {
	return fmt.Sprintf("rejecting channel %q because channel %q alreay exists (different cases not allowed)", ch, w.channels[strings.ToLower(ch)])
}

// validChannel reports whether every database can store the name.
func validChannel(name string) bool {
	return utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxColumn && !strings.ContainsAny(name, "/*>\x00") && !slices.Contains(strings.Split(name, "."), "")
}

func (w *witness) onSubscribe(data []byte) {
	var req pb.SubscriptionRequest
	var resp pb.SubscriptionResponse
	err := req.Unmarshal(data)
	for _, s := range w.subs {
		if req.Inbox == s.inbox {
			return // it would receive the witness's messages
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
	case req.Inbox != "" && !isInbox(req.Inbox):
		want = errInvalidSubscribe + ": " + notInbox("inbox", req.Inbox)
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
		return // the request would succeed
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
		return // the request would succeed
	}
	decode(w.t, w.request(closeSubject, data), &resp)
	if err != nil {
		w.expect(resp.Error, errInvalidClose)
	} else {
		w.expect(resp.Error, errUnknownClient)
	}
}

// onAck sends to the ack inbox of a subscription without unacknowledged messages. If the ack had any effect, the next
// message would not arrive.
func (w *witness) onAck(data []byte) {
	if err := w.instance.nc.Publish(w.subs[plainChannel].ackInbox, data); err != nil {
		w.t.Fatal(err)
	}
}

// refused reports whether an error says that the database cannot store the text because it is too long or invalid.
// SQLite can store anything.
func (w *witness) refused(failure, text string) bool {
	plain := utf8.ValidString(text) && !strings.Contains(text, "\x00") && len(text) <= maxColumn
	return !plain && w.driver != "sqlite" && strings.HasPrefix(failure, "stan: ") && strings.Contains(failure, "the database refused it")
}

// maxColumn is the maximum length in characters of a client ID, an inbox and a channel name in NATS Streaming's schema.
const maxColumn = 1024
