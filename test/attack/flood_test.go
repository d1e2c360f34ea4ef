package attack

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// TestFloods sends many requests in the victim's name. The victim's own ones are answered nevertheless.
func TestFloods(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		victim := s.as("victim").Register("victim")
		mallory := s.as("mallory")
		for what, it := range map[string]struct {
			to, reply string
			m         wire.Message
		}{
			"closes":                       {wire.Close, "_INBOX.forged.1", &pb.CloseRequest{ClientID: "victim"}},
			"closes without an answer":     {wire.Close, "", &pb.CloseRequest{ClientID: "victim"}},
			"sub-closes without an answer": {wire.SubClose, "", &pb.UnsubscribeRequest{ClientID: "victim", Subject: "victim.a", Inbox: "x"}},
			"subscriptions":                {wire.Subscribe, "_INBOX.forged.1", victim.NewRequest("victim.a")},
		} {
			request := &nats.Msg{Subject: it.to, Reply: it.reply, Data: encode(it.m)}
			for range 20_000 {
				if err := mallory.PublishMsg(request); err != nil {
					s.t.Fatal(err)
				}
			}
			req := victim.NewRequest("victim.a")
			resp := victim.Subscribe(req)
			if resp.Error != "" {
				s.t.Fatalf("%s: subscribe: %q", what, resp.Error)
			}
			if got := ask(victim.Conn, wire.SubClose, &pb.UnsubscribeRequest{ClientID: "victim", Subject: "victim.a", Inbox: resp.AckInbox}); got != "" {
				s.t.Errorf("%s: close of a subscription: %q", what, got)
			}
		}
	})
}

// TestLongRequests sends requests that take more memory than any library's.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		mallory := s.as("mallory")
		long := string(make([]byte, 500_000))
		tell(mallory, wire.Close, "_INBOX.forged.1", &pb.CloseRequest{ClientID: long})
		s.server.WaitLog(s.t, "the request is too long")
		s.client("victim", "victim")
	})
}
