package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// manner is a way to send a request in somebody else's name.
type manner struct {
	name string
	send func(c *wire.Conn, to string, m wire.Message) string // returns the error in the answer
}

const noAnswer = "no answer"

// manners are those that an attacker has who does not know where the victim awaits its answers.
var manners = []manner{
	{"with an answer", func(c *wire.Conn, to string, m wire.Message) string { return ask(c, to, m) }},
	{"without a reply subject", func(c *wire.Conn, to string, m wire.Message) string { return tell(c, to, "", m) }},
	{"with a reply subject of nobody", func(c *wire.Conn, to string, m wire.Message) string { return tell(c, to, nats.NewInbox(), m) }},
	{"with a reply subject as libraries have", func(c *wire.Conn, to string, m wire.Message) string {
		return tell(c, to, nats.NewInbox()+".1", m)
	}},
}

// ask sends a request and returns the error in the answer.
func ask(c *wire.Conn, to string, m wire.Message) string {
	var resp pb.SubscriptionResponse
	if to == wire.Close {
		var resp pb.CloseResponse
		if !c.Ask(to, encode(m), &resp, wire.Patience) {
			return noAnswer
		}
		return resp.Error
	}
	if !c.Ask(to, encode(m), &resp, wire.Patience) {
		return noAnswer
	}
	return resp.Error
}

// tell sends a request whose answer does not arrive, and waits until it was handled.
func tell(c *wire.Conn, to, reply string, m wire.Message) string {
	if err := c.PublishMsg(&nats.Msg{Subject: to, Reply: reply, Data: encode(m)}); err != nil {
		return err.Error()
	}
	// Requests to one subject are taken in order. This one is answered after the one before was looked into.
	for range 3 {
		ask(c, to, &pb.UnsubscribeRequest{ClientID: "nobody", Subject: "none", Inbox: "none"})
	}
	return noAnswer
}

func encode(m wire.Message) []byte {
	b, err := m.Marshal()
	if err != nil {
		panic(err) // the types of package pb have no way to fail
	}
	return b
}

// TestForeignRequests sends requests in the victim's name. The attacker knows all names that the victim chose, and its inbox.
func TestForeignRequests(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		victim := s.as("victim")
		cl := victim.Register("victim")
		name := func(suffix string) string { return "victim." + suffix }
		req := cl.NewRequest(name("a"), wire.Durable("d"))
		in, err := victim.SubscribeSync(req.Inbox)
		if err != nil {
			s.t.Fatal(err)
		}
		resp := victim.Subscribe(req)
		if resp.Error != "" {
			s.t.Fatal(resp.Error)
		}
		mallory := s.as("mallory")
		own := mallory.Register("mallory")
		takeover := own.NewRequest(name("b"), wire.Durable("d"))
		takeover.ClientID = cl.ID
		for _, how := range manners {
			for what, it := range map[string]struct {
				to  string
				req wire.Message
			}{
				"close":                      {wire.Close, &pb.CloseRequest{ClientID: cl.ID}},
				"close of the subscription":  {wire.SubClose, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: req.Subject, Inbox: req.Inbox}},
				"close by ack inbox":         {wire.SubClose, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: req.Subject, Inbox: resp.AckInbox}},
				"unsubscribe":                {wire.Unsubscribe, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: req.Subject, Inbox: req.Inbox}},
				"unsubscribe by ack inbox":   {wire.Unsubscribe, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: req.Subject, Inbox: resp.AckInbox}},
				"subscription of its own ID": {wire.Unsubscribe, &pb.UnsubscribeRequest{ClientID: own.ID, Subject: req.Subject, Inbox: resp.AckInbox}},
				"subscribe":                  {wire.Subscribe, takeover},
			} {
				if s.external() && it.to == wire.SubClose && how.name == "without a reply subject" {
					continue // docs/operate/security.md: an external NATS server does not tell whether somebody listens
				}
				got := how.send(mallory, it.to, it.req)
				if got != noAnswer && !strings.Contains(got, "permissions violation") && got != "stan: unknown clientID" {
					s.t.Errorf("%s %s: %q", what, how.name, got)
				}
			}
		}
		// Nothing happened to the victim.
		cl.Send(req.Subject, "one")
		if _, err := in.NextMsg(wire.Patience); err != nil {
			s.t.Fatalf("the victim's subscription is closed: %v", err)
		}
		if got := ask(victim, wire.Unsubscribe, &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: req.Subject, Inbox: resp.AckInbox}); got != "" {
			s.t.Errorf("unsubscribe of the victim: %q", got)
		}
		if got := cl.Bye(); got != "" {
			s.t.Errorf("close of the victim: %q", got)
		}
	})
}

// TestForeignRequestsAfterARestart is the same when the server knows the victim from its database only.
func TestForeignRequestsAfterARestart(t *testing.T) {
	t.Parallel()
	s := embedded(t, "")
	victim := s.client("victim", "victim")
	_, in := s.deliveries(victim, "victim.a", stan.DurableName("d"))
	s.server.Kill()
	s.server.Restart()
	for deadline := time.Now().Add(wire.Patience); victim.Publish("victim.a", []byte("one")) != nil; { // until the victim is back
		if time.Now().After(deadline) {
			t.Fatal("the victim did not come back")
		}
	}
	s.next(in)
	mallory := s.as("mallory")
	for _, how := range manners {
		if got := how.send(mallory, wire.Close, &pb.CloseRequest{ClientID: "victim"}); got != noAnswer && !strings.Contains(got, "permissions violation") {
			t.Errorf("close %s: %q", how.name, got)
		}
	}
	s.publish(victim, "victim.a", "two")
	s.next(in)
}

// TestForeignPublish publishes in the victim's name, and to channels that the attacker has no permission for.
func TestForeignPublish(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		cl := s.as("victim").Register("victim")
		mallory := s.as("mallory")
		own := mallory.Register("mallory")
		for what, it := range map[string]struct {
			to string
			m  *pb.PubMsg
		}{
			"the victim's ID":          {"mallory.a", &pb.PubMsg{ClientID: cl.ID, ConnID: []byte("guess"), Subject: "mallory.a"}},
			"another channel":          {"mallory.a", &pb.PubMsg{ClientID: own.ID, ConnID: []byte(own.ConnID), Subject: "victim.a"}},
			"an event channel":         {"mallory.a", &pb.PubMsg{ClientID: own.ID, ConnID: []byte(own.ConnID), Subject: "eventstore.a"}},
			"a channel that begins so": {"mallory.a", &pb.PubMsg{ClientID: own.ID, ConnID: []byte(own.ConnID), Subject: "mallory.a.b"}},
		} {
			it.m.Guid = "g"
			var ack pb.PubAck
			if !mallory.Ask(wire.Publish+"."+it.to, encode(it.m), &ack, wire.Patience) || ack.Error == "" {
				s.t.Errorf("%s: %+v", what, ack)
			}
		}
	})
}

// TestForeignAcks guesses ack inboxes, knowing one's own, and acknowledges from another member of the queue group.
func TestForeignAcks(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		mallory := s.as("mallory")
		own := mallory.Register("mallory")
		own.Send("mallory.a", "1", "2")
		before := mallory.Subscribe(own.NewRequest("mallory.a")).AckInbox
		victim := s.client("victim", "victim")
		_, in := s.deliveries(victim, "mallory.a", stan.DeliverAllAvailable(), stan.SetManualAckMode(), stan.AckWait(time.Second), stan.DurableName("d"))
		s.next(in)
		s.next(in)
		after := mallory.Subscribe(own.NewRequest("mallory.a")).AckInbox
		if len(before) != len(after) || before[:len(before)-20] == after[:len(after)-20] {
			s.t.Errorf("ack inboxes %s and %s have more in common than their prefix", before, after)
		}
		ack := encode(&pb.Ack{Subject: "mallory.a", Sequence: 1})
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
		for _, known := range []string{before, after} {
			for i := range len(digits) {
				for _, guess := range []string{
					known[:len(known)-1] + digits[i:i+1], known[:len(known)-2] + digits[i:i+1] + known[len(known)-1:],
				} {
					if guess == before || guess == after {
						continue
					}
					if err := mallory.Conn.Publish(guess, ack); err != nil {
						s.t.Fatal(err)
					}
				}
			}
		}
		for range 2 {
			if m := s.next(in); !m.Redelivered {
				s.t.Errorf("message %d was not sent again", m.Sequence)
			}
		}
	})
}

// TestManyClients registers clients whose heartbeats the attacker would have others answer.
func TestManyClients(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		mallory := s.as("mallory")
		for i := range 100 {
			if got := mallory.Connect(connectRequest(fmt.Sprint("ghost", i), wire.Discover)).Error; got == "" {
				s.t.Fatal("connected with the subject of connect requests as heartbeat inbox")
			}
		}
		s.client("victim", "ghost1") // no ghost has the ID
	})
}
