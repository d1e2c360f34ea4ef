package attack

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-streaming-server/spb"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go/pb"
	_ "modernc.org/sqlite" // driver

	"github.com/nats-eventstore/nats-eventstore/test/wire"
)

// forged are subjects that no client may make the server publish to.
var forged = []string{
	"$JS.API.STREAM.DELETE.ORDERS", "$JS.API.STREAM.PURGE.ORDERS", "$SYS.REQ.SERVER.PING", "ORDERS.forged", wire.Discover, wire.Pings,
	wire.Publish + ".victim.a", wire.Close, "_INBOX.test-cluster.acks.x", "_INBOX.test-cluster.heartbeats.x", "_INBOX.>", "_INBOX.*", "victim.a",
	"_INBOX.a\r\nPUB ORDERS.forged 0\r\n",
}

// TestLentAuthority names subjects to which the attacker must not publish, wherever a request names one.
func TestLentAuthority(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		stream := s.stream()
		mallory := s.as("mallory")
		cl := mallory.Register("mallory")
		for i, subject := range forged {
			if got := mallory.Connect(connectRequest(fmt.Sprint("forged", i), subject)).Error; !strings.Contains(got, "is not an inbox") {
				s.t.Errorf("connect with heartbeat inbox %q: %q", subject, got)
			}
			req := cl.NewRequest("mallory.a", wire.All)
			req.Inbox = subject
			if got := mallory.Subscribe(req).Error; !strings.Contains(got, "is not an inbox") {
				s.t.Errorf("subscribe with inbox %q: %q", subject, got)
			}
			if strings.ContainsAny(subject, "\r") {
				continue // NATS itself refuses it as a reply subject
			}
			for to, m := range map[string]wire.Message{
				wire.Publish + ".mallory.a": &pb.PubMsg{ClientID: cl.ID, ConnID: []byte(cl.ConnID), Guid: "g", Subject: "mallory.a", Data: []byte("x")},
				wire.Discover:               connectRequest("other", nats.NewInbox()),
				wire.Subscribe:              cl.NewRequest("mallory.a", wire.All),
				wire.Pings:                  &pb.Ping{ConnID: []byte(cl.ConnID)},
				wire.Close:                  &pb.CloseRequest{ClientID: "nobody"},
				wire.SubClose:               &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: "mallory.a", Inbox: "x"},
				wire.Unsubscribe:            &pb.UnsubscribeRequest{ClientID: cl.ID, Subject: "mallory.a", Inbox: "x"},
			} {
				if err := mallory.PublishRequest(to, subject, wire.Encode(s.t, m)); err != nil {
					s.t.Fatal(err)
				}
			}
		}
		// A refused publish is not stored: its publisher could not learn what became of it.
		cl.Send("mallory.a", "after")
		sub := &pb.SubscriptionRequest{}
		*sub = *cl.NewRequest("mallory.a", wire.All)
		in, err := mallory.SubscribeSync(sub.Inbox)
		if err != nil {
			s.t.Fatal(err)
		}
		if got := mallory.Subscribe(sub).Error; got != "" {
			s.t.Fatal(got)
		}
		msg, err := in.NextMsg(wire.Patience)
		if err != nil {
			s.t.Fatal(err)
		}
		var first pb.MsgProto
		if err := first.Unmarshal(msg.Data); err != nil {
			s.t.Fatal(err)
		}
		if first.Sequence != 1 || string(first.Data) != "after" {
			s.t.Errorf("the first message is %d %q, want 1 \"after\"", first.Sequence, first.Data)
		}
		s.intact(stream, 0)
	})
}

// TestStoredAuthority plants in the database what an older server may have accepted.
func TestStoredAuthority(t *testing.T) {
	t.Parallel()
	everywhere(t, "", func(s *stage) {
		stream := s.stream()
		s.client("victim", "victim")
		s.server.Kill()
		db, err := sql.Open("sqlite", s.source)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, subject := range []string{"$JS.API.STREAM.DELETE.ORDERS", "ORDERS.forged", wire.Discover} {
			plant(s.t, db, "planted-"+strings.NewReplacer(".", "-", "$", "").Replace(subject), subject)
		}
		if err := db.Close(); err != nil {
			s.t.Fatal(err)
		}
		s.server.Args = append(s.server.Args, "-hbi", "50ms", "-hbt", "50ms", "-SD")
		s.server.Restart()
		for range 20 { // each waits for the server
			s.as("mallory").CloseClient("nobody")
		}
		s.intact(stream, 0)
		if !s.server.Log.Contains("Dropped a stored client") {
			s.t.Error("the planted clients were not dropped")
		}
	})
}

func plant(t *testing.T, db *sql.DB, id, inbox string) {
	t.Helper()
	info, err := (&spb.ClientInfo{ID: id, HbInbox: inbox}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO Clients (id, hbinbox, proto) VALUES (?, ?, ?)", id, inbox, info); err != nil {
		t.Fatal(err)
	}
}
