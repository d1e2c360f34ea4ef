package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
	"github.com/nats-io/stan.go/pb"
	"google.golang.org/protobuf/proto"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// eventType is the type of all events.
const eventType = "Counted"

// patiences are how long clients wait for an answer: shorter than the server waits for its database, longer, and long
// enough for a paused server to answer.
var patiences = [10]time.Duration{
	300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond,
	2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second, 6 * time.Second,
}

// client runs one operation after another and records what it sees.
type client struct {
	cluster *cluster
	number  int
	random  *rand.Rand
	id      string
	connID  string
	conns   []*nats.Conn // one per server
	at      int          // the server in use

	heads   map[aggregate]uint64 // last version seen of each aggregate
	retry   *operation           // a publish without an answer
	events  int
	history []porcupine.Operation
}

// newClient connects to all servers. The leader stores the client in the database, so every server accepts it.
func newClient(t *testing.T, c *cluster, number int, random *rand.Rand) *client {
	t.Helper()
	cl := &client{cluster: c, number: number, random: random, id: fmt.Sprint("client-", number), connID: nuid.Next(), heads: map[aggregate]uint64{}}
	heartbeats := nats.NewInbox()
	for i, s := range c.servers {
		nc, err := nats.Connect(s.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.DontRandomize(), nats.IgnoreDiscoveredServers(), // each connection is to one server
			nats.ReconnectBufSize(-1), // a request on a lost connection fails at once
			nats.CustomInboxPrefix(fmt.Sprintf("_INBOX.%s.%d", cl.id, i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		if _, err := nc.Subscribe(heartbeats, func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil { // an error means a lost connection
			t.Fatal(err)
		}
		cl.conns = append(cl.conns, nc)
	}
	request := &pb.ConnectRequest{ClientID: cl.id, HeartbeatInbox: heartbeats, Protocol: 1, ConnID: []byte(cl.connID), PingInterval: 5, PingMaxOut: 3}
	eventually(t, func() error {
		msg, err := cl.conns[0].Request(wire.Discover, wire.Encode(t, request), wire.Patience)
		if err != nil {
			return err
		}
		var resp pb.ConnectResponse
		if err := resp.Unmarshal(msg.Data); err != nil || resp.Error == "" {
			return err
		}
		return errors.New(resp.Error)
	})
	return cl
}

// run works until ctx ends. Each step depends on the seed and on what the client has seen.
func (cl *client) run(ctx context.Context) error {
	for ctx.Err() == nil {
		// Draw the same number of random values in each step, so that equal outcomes give equal schedules.
		choice, which, offset, patience := cl.random.IntN(100), cl.random.IntN(4), cl.random.IntN(10), cl.random.IntN(10)
		key := cl.cluster.aggregates()[which]
		op := operation{aggregate: key, read: true}
		var out result
		var err error
		call := cl.cluster.clock()
		switch {
		case choice < 15:
			out, err = cl.cluster.data.readAll(key)
		case choice < 25 && key.channel != shared:
			out, err = cl.readLast(key)
		default:
			op = cl.next(key, choice, offset)
			out, err = cl.publish(op, patiences[patience])
		}
		if err != nil {
			return err
		}
		cl.history = append(cl.history, porcupine.Operation{ClientId: cl.number, Input: op, Call: call, Output: out, Return: cl.cluster.clock()})
		cl.learn(op, out)
	}
	return nil
}

// next returns a publish: a retry of the unanswered one, or a new one, in most cases with the next version as far as the
// client knows.
func (cl *client) next(key aggregate, choice, offset int) operation {
	if cl.retry != nil && choice < 60 {
		op := *cl.retry
		if offset < 3 {
			op.version = cl.heads[op.aggregate] + 1 // as a command does that reads the aggregate again
		}
		return op
	}
	cl.events++
	op := operation{aggregate: key, id: fmt.Sprintf("%d-%d", cl.number, cl.events)}
	switch {
	case offset < 2: // any version
	case offset == 2:
		op.version = cl.heads[key] + 2
	default:
		op.version = cl.heads[key] + 1
	}
	return op
}

// learn updates the client's knowledge from a result.
func (cl *client) learn(op operation, out result) {
	if !op.read {
		cl.cluster.count(out)
	}
	switch out.kind {
	case unknown:
		if !op.read {
			cl.retry = &op
		}
		cl.at = (cl.at + 1) % len(cl.conns)
		// A dead server refuses at once: do not spin.
		time.Sleep(10 * time.Millisecond)
		return
	case stored:
		cl.heads[op.aggregate] = max(op.version, cl.heads[op.aggregate]) // too low if the server chose the version
	case conflict:
		cl.heads[op.aggregate] = out.head
	case all:
		cl.heads[op.aggregate] = uint64(len(out.ids))
	case last:
		cl.heads[op.aggregate] = out.last
	}
	if cl.retry != nil && cl.retry.id == op.id {
		cl.retry = nil
	}
}

// request asks the current server. It returns nil if no answer comes.
func (cl *client) request(subject string, data []byte, wait time.Duration) *nats.Msg {
	msg, err := cl.conns[cl.at].Request(subject, data, wait)
	if err != nil {
		cl.cluster.failed(cl.at, err)
		return nil
	}
	return msg
}

func (cl *client) publish(op operation, wait time.Duration) (result, error) {
	payload, err := proto.Marshal(&eventstorev1.Event{EventId: op.id, EventType: eventType, AggregateId: op.aggregate.id, EventVersion: op.version})
	if err != nil {
		return result{}, err
	}
	request, err := (&pb.PubMsg{ClientID: cl.id, ConnID: []byte(cl.connID), Guid: nuid.Next(), Subject: op.aggregate.channel, Data: payload}).Marshal()
	if err != nil {
		return result{}, err
	}
	msg := cl.request(wire.Publish+"."+op.aggregate.channel, request, wait)
	if msg == nil {
		return result{}, nil
	}
	var ack pb.PubAck
	if err := ack.Unmarshal(msg.Data); err != nil {
		return result{}, err
	}
	return outcome(ack.Error, op)
}

// outcome parses the text of a PubAck.
func outcome(text string, op operation) (result, error) {
	switch {
	case text == "":
		return result{kind: stored}, nil
	case strings.HasPrefix(text, fmt.Sprintf("stan: wrong expected version: aggregate %q is at version ", op.aggregate.id)):
		head, _, _ := strings.Cut(strings.TrimPrefix(text, fmt.Sprintf("stan: wrong expected version: aggregate %q is at version ", op.aggregate.id)), ",")
		version, err := strconv.ParseUint(head, 10, 64)
		return result{kind: conflict, head: version}, err
	case text == fmt.Sprintf("stan: event_id %q already stored with different content", op.id):
		return result{kind: different}, nil
	case strings.Contains(text, "unavailable"):
		return result{unavailable: true}, nil
	}
	return result{}, errors.New("unexpected error of a publish: " + text)
}

// readLast asks the current server for the last event of a channel.
func (cl *client) readLast(key aggregate) (result, error) {
	at := cl.at
	inbox := nats.NewInbox()
	messages, err := cl.conns[at].SubscribeSync(inbox)
	if err != nil {
		return result{}, nil
	}
	defer func() { _ = messages.Unsubscribe() }()
	request, err := (&pb.SubscriptionRequest{ClientID: cl.id, Subject: key.channel, Inbox: inbox, MaxInFlight: 1, AckWaitInSecs: 60, StartPosition: pb.StartPosition_LastReceived}).Marshal()
	if err != nil {
		return result{}, err
	}
	answer := cl.request(wire.Subscribe, request, time.Second)
	if answer == nil {
		return result{}, nil
	}
	var resp pb.SubscriptionResponse
	if err := resp.Unmarshal(answer.Data); err != nil {
		return result{}, err
	}
	if resp.Error != "" {
		return result{}, nil
	}
	message, err := messages.NextMsg(time.Second)
	if err != nil {
		return result{}, nil
	}
	var m pb.MsgProto
	if err := m.Unmarshal(message.Data); err != nil {
		return result{}, err
	}
	var e eventstorev1.Event
	if err := proto.Unmarshal(m.Data, &e); err != nil {
		return result{}, err
	}
	if end, err := (&pb.UnsubscribeRequest{ClientID: cl.id, Subject: key.channel, Inbox: resp.AckInbox}).Marshal(); err == nil {
		cl.request(wire.Unsubscribe, end, time.Second)
	}
	return result{kind: last, last: e.EventVersion, event: e.EventId}, nil
}

// runAll runs the clients until stop, which returns what they saw.
func runAll(t *testing.T, clients []*client) (stop func() []porcupine.Operation) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, cl := range clients {
		wg.Go(func() {
			if err := cl.run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("client %d: %v", cl.number, err)
			}
		})
	}
	return func() []porcupine.Operation {
		cancel()
		wg.Wait()
		var history []porcupine.Operation
		for _, cl := range clients {
			history = append(history, cl.history...)
		}
		return history
	}
}
