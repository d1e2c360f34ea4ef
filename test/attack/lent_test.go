package attack

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// spy returns where the victim awaits the answers to what it publishes: whoever may publish hears them.
func spy(s *stage, mallory *wire.Conn, victim stan.Conn) string {
	s.t.Helper()
	heard, err := mallory.SubscribeSync("_STAN.acks.>")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := mallory.Flush(); err != nil {
		s.t.Fatal(err)
	}
	s.publish(victim, "victim.a", "x")
	m, err := heard.NextMsg(wire.Patience)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := heard.Unsubscribe(); err != nil {
		s.t.Fatal(err)
	}
	return m.Subject
}

// TestAnswersToPublishesLendNothing uses the subject on which the victim awaits the answers to its publishes as its own.
func TestAnswersToPublishesLendNothing(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		victim := s.client("victim", "victim")
		mallory := s.as("mallory")
		own := mallory.Register("mallory")
		answers := spy(s, mallory, victim)
		if got := mallory.Connect(connectRequest("ghost", answers)).Error; !strings.Contains(got, "is not an inbox") {
			s.t.Errorf("connect with heartbeat inbox %q: %q", answers, got)
		}
		req := own.NewRequest("mallory.a", wire.All)
		req.Inbox = answers
		if got := mallory.Subscribe(req).Error; !strings.Contains(got, "is not an inbox") {
			s.t.Errorf("subscribe with inbox %q: %q", answers, got)
		}
		tell(mallory, wire.Close, answers, &pb.CloseRequest{ClientID: "victim"})
		s.publish(victim, "victim.a", "still connected")
	})
}

// TestRightsAreNotLent makes a client whose heartbeats and answers the victim's connection hears, under a prefix that the attacker
// overheard, and whose messages nobody hears until the server has looked.
func TestRightsAreNotLent(t *testing.T) {
	t.Parallel()
	s := embedded(t, "", "-access_file", write(t, "access.conf", rights))
	victim := s.as("victim")
	victim.Register("victim").Send("victim.a", "secret")
	if _, err := victim.SubscribeSync("_INBOX.overheard.*"); err != nil {
		t.Fatal(err)
	}
	if err := victim.Flush(); err != nil {
		t.Fatal(err)
	}
	mallory := s.as("mallory")
	own := mallory.Register("mallory")
	heard, err := mallory.SubscribeSync("_INBOX.overheard.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := mallory.PublishRequest(wire.Discover, "_INBOX.overheard.connect", encode(connectRequest("ghost", "_INBOX.overheard.beats"))); err != nil {
		t.Fatal(err)
	}
	if _, err := heard.NextMsg(wire.Patience); err != nil {
		t.Fatal(err)
	}
	if err := heard.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	ghost := own.NewRequest("victim.a", wire.All, wire.AckWait(1))
	ghost.ClientID = "ghost"
	tell(mallory, wire.Subscribe, "_INBOX.overheard.subscribe", ghost)
	in, err := mallory.SubscribeSync(ghost.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := in.NextMsg(3 * time.Second); err == nil { // it would be sent again after a second
		t.Errorf("received %q", m.Data)
	}
}

// TestLongInboxes names inboxes with which a line of NATS' protocol becomes too long: NATS would close the server's connection,
// and what was sent to others there would be lost.
func TestLongInboxes(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		mallory := s.as("mallory")
		own := mallory.Register("mallory")
		for _, n := range []int{2000, 5000} {
			long := "_INBOX." + strings.Repeat("x", n)
			if got := mallory.Connect(connectRequest("long", long)).Error; !strings.Contains(got, "is not an inbox") {
				s.t.Errorf("connect with a heartbeat inbox of %d bytes: %q", n, got)
			}
			req := own.NewRequest("mallory.a", wire.All)
			req.Inbox = long
			if got := mallory.Subscribe(req).Error; !strings.Contains(got, "is not an inbox") {
				s.t.Errorf("subscribe with an inbox of %d bytes: %q", n, got)
			}
		}
		own.Send("mallory.a", "one")
		if s.server.Log.Contains("maximum control line exceeded") {
			s.t.Error("NATS closed a connection of the server")
		}
	})
}
