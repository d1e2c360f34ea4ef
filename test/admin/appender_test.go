package admin_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/stan.go"
	"github.com/nats-io/stan.go/pb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestAppenders: the server records the principal, the client ID and the address of whoever appends, by NATS Streaming and by the API,
// as far as they are proved, and tells administrators.
func TestAppenders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	access, config := filepath.Join(dir, "access.conf"), filepath.Join(dir, "nats.conf")
	text := "principals: [\n"
	for name, rights := range map[string]string{"operator": `admin: [">"]`, "shop": `append: [">"], read: [">"]`} {
		text += fmt.Sprintf("{ name: %s, tokens: [\"sha256:%x\"], %s }\n", name, sha256.Sum256([]byte(name)), rights)
	}
	for file, text := range map[string]string{
		access: text + "]\n",
		config: "authorization { users: [{ user: till, password: p }, { user: streaming, password: p }] }\nstreaming { record_appenders: true, username: streaming, password: p }\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", config, "-access_file", access)
		nc, err := nats.Connect(s.URL(), nats.UserInfo("till", "p"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		sc, err := stan.Connect("test-cluster", "till-1", stan.NatsConn(nc))
		if err != nil {
			t.Fatal(err)
		}
		payload := []byte("\x12\x04Paid\x1a\x01a") // event_type, aggregate_id
		if err := sc.Publish("eventstore.paid", payload); err != nil {
			t.Fatal(err)
		}
		named, err := (&pb.PubMsg{ClientID: "till-1", Guid: "g", Subject: "eventstore.paid", Data: payload}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if msg, err := nc.RequestWithContext(patient(t), "_STAN.pub.test-cluster.eventstore.paid", named); err != nil {
			t.Fatal(err)
		} else if ack := (pb.PubAck{}); ack.Unmarshal(msg.Data) != nil || ack.Error != "" {
			t.Fatalf("ack %+v", ack)
		}
		s.token = "shop"
		status, answer, err := s.call(patient(t), "EventStore/Append", m{"channel": "eventstore.paid", "events": []m{{"eventType": "Paid", "aggregateId": "b"}}})
		if err != nil || status != http.StatusOK {
			t.Fatalf("append: %d %v %v", status, answer, err)
		}
		appender := func(sequence int) any {
			_, answer, err := s.call(patient(t), "EventStore/GetEvent", m{"channel": "eventstore.paid", "sequence": sequence})
			if err != nil || answer["event"] == nil {
				t.Fatalf("event %d: %v %v", sequence, answer, err)
			}
			return fmt.Sprint(answer["appender"])
		}
		if got := appender(1); got != "<nil>" {
			t.Errorf("a reader is told who appended: %v", got)
		}
		s.token = "operator"
		for sequence, want := range []string{fmt.Sprint(m{"principal": "till", "clientId": "till-1", "address": "127.0.0.1"}), fmt.Sprint(m{"clientId": "till-1"}), fmt.Sprint(m{"principal": "shop", "address": "127.0.0.1"})} {
			if got := appender(sequence + 1); got != want {
				t.Errorf("event %d was appended by %v, want %s", sequence+1, got, want)
			}
		}
	})
}
