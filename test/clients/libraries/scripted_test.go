package libraries

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// scripted is a client that sends what a library sends.
type scripted struct {
	t              *testing.T
	speaks         dialect
	nats           *session
	id, connection string
	heartbeats     string // inbox
	prefix         string // of the inboxes of answers, if one subscription receives them all
	subjects       pb.ConnectResponse
	gone           chan string
	pingsEnd       chan struct{} // closed when pings have to end
	endPings       sync.Once

	publishes, beats, pongs int    // IDs of subscriptions
	acks                    string // inbox of the answers to publishes

	waiting sync.Mutex
	answers map[string]chan []byte // to requests, by reply subject
	acked   map[string]chan string // errors in acknowledgements, by guid
	open    map[*scriptedSubscription]bool
}

type scriptedSubscription struct {
	client               *scripted
	id                   int
	channel, inbox, acks string
	in                   chan message
}

// speaks returns how to connect a client that speaks as a library does.
func speaks(d dialect) connector {
	return func(t *testing.T, to address, id string) (client, error) {
		t.Helper()
		nats, err := dial(t, d, to, id)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nats.close)
		c := &scripted{
			t: t, speaks: d, nats: nats, id: id, heartbeats: d.inbox(), acks: "_STAN.acks." + d.guid(), gone: make(chan string, 100), pingsEnd: make(chan struct{}),
			answers: make(map[string]chan []byte), acked: make(map[string]chan string), open: make(map[*scriptedSubscription]bool),
		}
		return c, c.connect()
	}
}

func (c *scripted) connect() error {
	d := c.speaks
	c.beats = c.nats.subscribe(c.heartbeats, func(_, reply string, _ []byte) { c.nats.publish(reply, "", nil) })
	c.publishes = c.nats.subscribe(c.acks, func(_, _ string, data []byte) { c.acknowledged(data) })
	c.nats.flush()
	req := &pb.ConnectRequest{ClientID: c.id, HeartbeatInbox: c.heartbeats}
	pings := d.inbox()
	if d.protocol > 0 {
		c.connection = d.guid()
		req.Protocol, req.ConnID, req.PingInterval, req.PingMaxOut = d.protocol, []byte(c.connection), 1, 60
		c.pongs = c.nats.subscribe(pings, func(_, _ string, data []byte) { c.ponged(data) })
	}
	if err := c.request("_STAN.discover.test-cluster", req, &c.subjects, func() string { return c.subjects.Error }); err != nil {
		return err
	}
	if d.protocol > 0 {
		ping, err := (&pb.Ping{ConnID: []byte(c.connection)}).Marshal()
		if err != nil {
			return err
		}
		go func() {
			ticks := time.NewTicker(time.Second)
			defer ticks.Stop()
			for {
				select {
				case <-ticks.C:
					c.nats.publish(c.subjects.PingRequests, pings, ping)
				case <-c.pingsEnd:
					return
				}
			}
		}()
		c.t.Cleanup(c.stopPings)
	}
	return nil
}

func (c *scripted) stopPings() { c.endPings.Do(func() { close(c.pingsEnd) }) }

func (c *scripted) ponged(data []byte) {
	var resp pb.PingResponse
	if err := resp.Unmarshal(data); err != nil {
		c.t.Errorf("answer to a ping: %v", err)
	}
	if resp.Error != "" {
		c.gone <- resp.Error
		c.stopPings()
	}
}

// encoded is implemented by the types of package pb.
type encoded interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// request sends a request and decodes its answer. failed returns the error in the answer.
func (c *scripted) request(subject string, req, resp encoded, failed func() string) error {
	data, err := req.Marshal()
	if err != nil {
		return err
	}
	reply, answer := c.replySubject()
	c.nats.publish(subject, reply, data)
	select {
	case data := <-answer:
		if err := resp.Unmarshal(data); err != nil {
			return fmt.Errorf("answer of %s: %w", subject, err)
		}
		if text := failed(); text != "" {
			return errors.New(text)
		}
		return nil
	case <-time.After(harness.Patience):
		return fmt.Errorf("no answer of %s", subject)
	}
}

// replySubject returns where the answer to a request is awaited, and the answer.
func (c *scripted) replySubject() (string, <-chan []byte) {
	d := c.speaks
	answered := func(subject, _ string, data []byte) {
		c.waiting.Lock()
		defer c.waiting.Unlock()
		if answer := c.answers[subject]; answer != nil {
			answer <- data
			delete(c.answers, subject)
		}
	}
	answer := make(chan []byte, 1)
	reply := "_INBOX." + d.token()
	if !d.inboxForEach {
		if c.prefix == "" {
			c.prefix = reply + "."
			c.nats.subscribeAs(d.subAnswers, c.prefix+"*", answered)
		}
		reply = c.prefix + d.token()
	}
	c.waiting.Lock()
	c.answers[reply] = answer
	c.waiting.Unlock()
	if d.inboxForEach {
		id := c.nats.subscribeAs(d.subAnswers, reply, answered)
		c.nats.locked(func() { c.nats.write("UNSUB %d 1\r\n", id) })
	}
	return reply, answer
}

func (c *scripted) publish(channel, data string) error {
	msg := &pb.PubMsg{ClientID: c.id, Guid: c.speaks.guid(), Subject: channel, Data: []byte(data)}
	if c.speaks.namesConnection {
		msg.ConnID = []byte(c.connection)
	}
	payload, err := msg.Marshal()
	if err != nil {
		return err
	}
	answer := make(chan string, 1)
	c.waiting.Lock()
	c.acked[msg.Guid] = answer
	c.waiting.Unlock()
	c.nats.publish(c.subjects.PubPrefix+"."+channel, c.acks, payload)
	select {
	case text := <-answer:
		if text != "" {
			return errors.New(text)
		}
		return nil
	case <-time.After(harness.Patience):
		return errors.New("no acknowledgement")
	}
}

func (c *scripted) acknowledged(data []byte) {
	var ack pb.PubAck
	if err := ack.Unmarshal(data); err != nil {
		c.t.Errorf("acknowledgement: %v", err)
	}
	c.waiting.Lock()
	defer c.waiting.Unlock()
	if answer := c.acked[ack.Guid]; answer != nil {
		answer <- ack.Error
		delete(c.acked, ack.Guid)
	}
}

// positions are the start positions by name.
var positions = map[start]pb.StartPosition{
	startNew: pb.StartPosition_NewOnly, startFirst: pb.StartPosition_First, startLast: pb.StartPosition_LastReceived,
	startSequence: pb.StartPosition_SequenceStart, startAgo: pb.StartPosition_TimeDeltaStart,
}

func (c *scripted) subscribe(channel string, o options) (subscription, error) {
	o = o.filled()
	sub := &scriptedSubscription{client: c, channel: channel, inbox: c.speaks.inbox(), in: make(chan message, 1<<12)}
	sub.id = c.nats.subscribe(sub.inbox, func(_, _ string, data []byte) { sub.received(data) })
	req := &pb.SubscriptionRequest{
		ClientID: c.id, Subject: channel, QGroup: o.group, Inbox: sub.inbox, MaxInFlight: int32(o.maxInFlight), AckWaitInSecs: int32(o.ackWait),
		DurableName: o.durable, StartPosition: positions[o.start],
	}
	switch o.start {
	case startSequence:
		req.StartSequence = uint64(o.from)
	case startAgo:
		req.StartTimeDelta = (time.Duration(o.from) * time.Second).Nanoseconds()
	}
	var resp pb.SubscriptionResponse
	if err := c.request(c.subjects.SubRequests, req, &resp, func() string { return resp.Error }); err != nil {
		c.nats.unsubscribe(sub.id)
		return nil, err
	}
	sub.acks = resp.AckInbox
	c.waiting.Lock()
	defer c.waiting.Unlock()
	c.open[sub] = true
	return sub, nil
}

func (c *scripted) back() <-chan struct{} { return c.nats.again }
func (c *scripted) lost() <-chan string   { return c.gone }

func (c *scripted) close() error {
	c.stopPings()
	if c.speaks.leaves >= leavesAnswers {
		c.nats.unsubscribe(c.publishes)
		if c.pongs != 0 {
			c.nats.unsubscribe(c.pongs)
		}
	}
	if c.speaks.leaves == leavesAll {
		c.nats.unsubscribe(c.beats)
		c.waiting.Lock()
		for sub := range c.open {
			c.nats.unsubscribe(sub.id)
		}
		c.waiting.Unlock()
	}
	var resp pb.CloseResponse
	err := c.request(c.subjects.CloseRequests, &pb.CloseRequest{ClientID: c.id}, &resp, func() string { return resp.Error })
	c.nats.close()
	return err
}

func (c *scripted) vanish() {
	c.stopPings()
	c.nats.close()
}

func (s *scriptedSubscription) messages() <-chan message { return s.in }

func (s *scriptedSubscription) received(data []byte) {
	var m pb.MsgProto
	if err := m.Unmarshal(data); err != nil {
		s.client.t.Errorf("message: %v", err)
		return
	}
	s.in <- message{sequence: m.Sequence, redelivered: m.Redelivered, data: string(m.Data)}
}

func (s *scriptedSubscription) ack(sequence uint64) error {
	data, err := (&pb.Ack{Subject: s.channel, Sequence: sequence}).Marshal()
	if err != nil {
		return err
	}
	s.client.nats.publish(s.acks, "", data)
	return nil
}

func (s *scriptedSubscription) close() error { return s.end(s.client.subjects.SubCloseRequests) }

func (s *scriptedSubscription) unsubscribe() error { return s.end(s.client.subjects.UnsubRequests) }

func (s *scriptedSubscription) end(subject string) error {
	c := s.client
	c.nats.unsubscribe(s.id)
	c.waiting.Lock()
	delete(c.open, s)
	c.waiting.Unlock()
	var resp pb.SubscriptionResponse
	return c.request(subject, &pb.UnsubscribeRequest{ClientID: c.id, Subject: s.channel, Inbox: s.acks}, &resp, func() string { return resp.Error })
}
