package wire

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
)

// Msg is a delivered message and the time when it was received.
type Msg struct {
	*pb.MsgProto
	At time.Time
}

// String returns the sequence, followed by r and the redelivery count if the message is flagged as redelivered.
func (m Msg) String() string {
	if !m.Redelivered && m.RedeliveryCount == 0 {
		return fmt.Sprint(m.Sequence)
	}
	return fmt.Sprintf("%dr%d", m.Sequence, m.RedeliveryCount)
}

// Sub is a subscription. A message before the answer to its request fails the test.
type Sub struct {
	Client   *Client
	Channel  string
	Inbox    string
	AckInbox string
	in       chan *nats.Msg
}

// Option changes a subscription request.
type Option func(*pb.SubscriptionRequest)

// The options of subscription requests.
var (
	All     = Start(pb.StartPosition_First)
	Durable = func(name string) Option { return func(r *pb.SubscriptionRequest) { r.DurableName = name } }
	Queue   = func(name string) Option { return func(r *pb.SubscriptionRequest) { r.QGroup = name } }
	Max     = func(n int32) Option { return func(r *pb.SubscriptionRequest) { r.MaxInFlight = n } }
	AckWait = func(s int32) Option { return func(r *pb.SubscriptionRequest) { r.AckWaitInSecs = s } }
)

// Start sets the start position.
func Start(p pb.StartPosition) Option {
	return func(r *pb.SubscriptionRequest) { r.StartPosition = p }
}

// NewRequest returns a valid subscription request: new messages only, 100 in flight, AckWait of a minute.
func (cl *Client) NewRequest(channel string, opts ...Option) *pb.SubscriptionRequest {
	r := &pb.SubscriptionRequest{ClientID: cl.ID, Subject: channel, Inbox: nats.NewInbox(), MaxInFlight: 100, AckWaitInSecs: 60}
	for _, opt := range opts {
		opt(r)
	}
	return r
}

// TrySub subscribes and returns the error in the answer.
func (cl *Client) TrySub(channel string, opts ...Option) (*Sub, string) {
	cl.t.Helper()
	req := cl.NewRequest(channel, opts...)
	// One Go channel for answer and messages shows their order.
	s := &Sub{Client: cl, Channel: channel, Inbox: req.Inbox, in: make(chan *nats.Msg, 1<<14)}
	reply := nats.NewInbox()
	answers, err := cl.ChanSubscribe(reply, s.in)
	if err != nil {
		cl.t.Fatal(err)
	}
	data, err := cl.ChanSubscribe(s.Inbox, s.in)
	if err != nil {
		cl.t.Fatal(err)
	}
	if err := cl.PublishRequest(Subscribe, reply, Encode(cl.t, req)); err != nil {
		cl.t.Fatal(err)
	}
	var resp pb.SubscriptionResponse
	select {
	case msg := <-s.in:
		if msg.Subject != reply {
			cl.t.Fatalf("a message on %s arrived before the answer", channel)
		}
		if err := resp.Unmarshal(msg.Data); err != nil {
			cl.t.Fatalf("answer to a subscription request: %v", err)
		}
	case <-time.After(Patience):
		cl.t.Fatalf("no answer to a request to subscribe to %s", channel)
	}
	if err := answers.Unsubscribe(); err != nil {
		cl.t.Fatal(err)
	}
	if resp.Error != "" {
		if err := data.Unsubscribe(); err != nil {
			cl.t.Fatal(err)
		}
		return nil, resp.Error
	}
	s.AckInbox = resp.AckInbox
	return s, ""
}

// Sub subscribes and fails the test if it is refused.
func (cl *Client) Sub(channel string, opts ...Option) *Sub {
	cl.t.Helper()
	s, text := cl.TrySub(channel, opts...)
	if text != "" {
		cl.t.Fatalf("subscribe to %s: %s", channel, text)
	}
	return s
}

// Next waits for the next message.
func (s *Sub) Next() Msg {
	s.Client.t.Helper()
	m, ok := s.Within(Patience)
	if !ok {
		s.Client.t.Fatalf("no message arrived on %s", s.Channel)
	}
	return m
}

// Within waits for the next message, and returns false if none arrives in time.
func (s *Sub) Within(wait time.Duration) (Msg, bool) {
	s.Client.t.Helper()
	select {
	case m := <-s.in:
		var p pb.MsgProto
		if err := p.Unmarshal(m.Data); err != nil {
			s.Client.t.Fatalf("message on %s: %v", s.Channel, err)
		}
		return Msg{MsgProto: &p, At: time.Now()}, true
	case <-time.After(wait):
		return Msg{}, false
	}
}

// Take returns the next n messages.
func (s *Sub) Take(n int) []Msg {
	s.Client.t.Helper()
	msgs := make([]Msg, n)
	for i := range msgs {
		msgs[i] = s.Next()
	}
	return msgs
}

// Expect fails the test unless the next n messages are the wanted ones, in the format of Lines.
func (s *Sub) Expect(n int, want string) {
	s.Client.t.Helper()
	if got := Lines(s.Take(n)); got != want {
		s.Client.t.Errorf("received %s, want %s", got, want)
	}
}

// Waiting returns the number of messages that have arrived but were not taken. Call it after an event that an unwanted
// message would precede.
func (s *Sub) Waiting() int { return len(s.in) }

// Ack acknowledges messages.
func (s *Sub) Ack(seqs ...uint64) {
	s.Client.t.Helper()
	for _, seq := range seqs {
		if err := s.Client.Conn.Conn.Publish(s.AckInbox, Encode(s.Client.t, &pb.Ack{Subject: s.Channel, Sequence: seq})); err != nil {
			s.Client.t.Fatal(err)
		}
	}
}

// Close closes the subscription and returns the error in the answer.
func (s *Sub) Close() string {
	s.Client.t.Helper()
	return s.Client.End(SubClose, s.EndRequest())
}

// Unsubscribe unsubscribes and returns the error in the answer.
func (s *Sub) Unsubscribe() string {
	s.Client.t.Helper()
	return s.Client.End(Unsubscribe, s.EndRequest())
}

// EndRequest returns the request to close or to unsubscribe.
func (s *Sub) EndRequest() *pb.UnsubscribeRequest {
	return &pb.UnsubscribeRequest{ClientID: s.Client.ID, Subject: s.Channel, Inbox: s.AckInbox}
}
