package test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// orderJudge sees each message that a server sends to a member of a queue group, in the order in which they were sent: it reads
// the subjects of the members on the same NATS server. It checks that an aggregate's next event is sent only after the last one
// was acknowledged.
type orderJudge struct {
	t       testing.TB
	conn    *nats.Conn
	channel string
	marked  chan struct{}

	mu         sync.Mutex // guards the fields below
	aggregates map[string]*orderedAggregate
	crashes    int // of the server
	sends      int // messages sent
	again      int // of them redeliveries
	goneBack   int // of them those after a crash that repeat what was acknowledged
	acks       int // events acknowledged, each once
	left       int // events not acknowledged
	wrong      []string
	changed    chan struct{} // closed on every ack
}

// orderedAggregate is an aggregate as the members' group sees it.
type orderedAggregate struct {
	sent    uint64 // version of the event sent last
	acked   uint64 // versions up to there were acknowledged
	last    uint64 // version
	crashes int    // of the server, when an event was sent last
}

const (
	inboxes    = "_INBOX.>"
	crashInbox = "_INBOX.crash" // of the judge's own messages
)

func newOrderJudge(t testing.TB, url, channel string) *orderJudge {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	j := &orderJudge{t: t, conn: conn, channel: channel, marked: make(chan struct{}), aggregates: map[string]*orderedAggregate{}, changed: make(chan struct{})}
	sub, err := conn.Subscribe(inboxes, j.see)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return j
}

// expect adds an event of an aggregate that will be delivered.
func (j *orderJudge) expect(aggregate string) {
	a := j.aggregates[aggregate]
	if a == nil {
		a = &orderedAggregate{}
		j.aggregates[aggregate] = a
	}
	a.last++
	j.left++
}

// crashed tells that the server has ended and that NATS has passed on all that it sent. It returns when the judge has seen all of it.
func (j *orderJudge) crashed() {
	j.t.Helper()
	if err := j.conn.Publish(crashInbox, nil); err != nil {
		j.t.Fatal(err)
	}
	<-j.marked
}

// see judges a message that was sent to an inbox.
func (j *orderJudge) see(msg *nats.Msg) {
	if msg.Subject == crashInbox {
		j.mu.Lock()
		j.crashes++
		j.mu.Unlock()
		j.marked <- struct{}{}
		return
	}
	var m pb.MsgProto
	if m.Unmarshal(msg.Data) != nil || m.Subject != j.channel || m.Sequence == 0 {
		return // an answer to a request
	}
	id, version := versionOf(j.t, m.Data)
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.aggregates[id]
	j.sends++
	if m.Redelivered {
		j.again++
	}
	switch {
	case a == nil:
		j.wrong = append(j.wrong, fmt.Sprintf("event of unknown aggregate %q", id))
		return
	case a.crashes < j.crashes && version <= a.acked+1:
		// The server may have lost some acknowledgements, and has lost what it sent since it stored that.
		if a.crashes = j.crashes; version <= a.acked {
			j.goneBack++
		}
	case a.crashes == j.crashes && version == a.sent+1 && a.sent <= a.acked:
	case a.crashes == j.crashes && version == a.sent && m.Redelivered:
	default:
		j.wrong = append(j.wrong, fmt.Sprintf("aggregate %s: event %d (redelivered %v) is sent after event %d, acknowledged are those up to %d, after crash %d of %d",
			id, version, m.Redelivered, a.sent, a.acked, a.crashes, j.crashes))
	}
	a.sent = version
}

// acked records an acknowledgement that is about to be sent.
func (j *orderJudge) acked(aggregate string, version uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.aggregates[aggregate]
	switch {
	case version <= a.acked:
		return
	case version > a.acked+1:
		j.wrong = append(j.wrong, fmt.Sprintf("aggregate %s: a member has event %d, acknowledged are those up to %d", aggregate, version, a.acked))
	}
	j.acks += int(version - a.acked)
	j.left -= int(version - a.acked)
	a.acked = version
	close(j.changed)
	j.changed = make(chan struct{})
}

// progress returns the numbers of events that are acknowledged and not, and what is closed when that changes.
func (j *orderJudge) progress() (acks, left int, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.acks, j.left, j.changed
}

// verdict fails the test for what was wrong.
func (j *orderJudge) verdict() {
	j.t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, text := range j.wrong[:min(len(j.wrong), 10)] {
		j.t.Error(text)
	}
	if n := len(j.wrong); n > 10 {
		j.t.Errorf("and %d more", n-10)
	}
}

// versionOf returns the aggregate and the version of an event.
func versionOf(t testing.TB, data []byte) (aggregate string, version uint64) {
	var e eventstorev1.Event
	if err := proto.Unmarshal(data, &e); err != nil {
		t.Errorf("not an event: %v", err)
	}
	return e.AggregateId, e.EventVersion
}
