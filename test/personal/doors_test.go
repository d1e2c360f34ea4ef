package personal_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore/eventstoreconnect"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
)

// TestDoors: streams of Consume and Subscribe, and the compatible services, show what their callers may see, each of several at a time.
func TestDoors(t *testing.T) {
	t.Parallel()
	h := start(t, "sqlite", databases.SQLite(t))
	write(t, h.access, strings.Replace(string(contents(t, h.access)), `read: [">"] }`, `read: [">"], consume: [">"] }`, 1))
	h.Stop()
	h.Restart()
	mustAppend(t, h.as(t, "writer"), channel, event("e1", "c-1", "Annabella"))
	for who, plain := range map[string]bool{"clerk": true, "reader": false} {
		check := func(door, data string) {
			t.Helper()
			if plain && data != dataOf("c-1", "Annabella") || !plain && !isSealed(data, "Annabella", "annabella") {
				t.Errorf("%s gets %s from %s", who, data, door)
			}
		}
		subscribed, err := h.as(t, who).Subscribe(patient(t), &eventstorev1.SubscribeRequest{Channel: channel})
		if err != nil {
			t.Fatal(err)
		}
		for len(subscribed.Msg().GetEvents()) == 0 && subscribed.Receive() {
		}
		check("Subscribe", string(subscribed.Msg().GetEvents()[0].GetEvent().GetEventData()))
		queried, err := h.as(t, who).Subscribe(patient(t), &eventstorev1.SubscribeRequest{Query: &eventstorev1.Query{Items: []*eventstorev1.QueryItem{{Channels: []string{"eventstore.>"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		for len(queried.Msg().GetEvents()) == 0 && queried.Receive() {
		}
		check("Subscribe with a query", string(queried.Msg().GetEvents()[0].GetEvent().GetEventData()))

		stream, err := h.as(t, who).Consume(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&eventstorev1.ConsumeRequest{Request: &eventstorev1.ConsumeRequest_Open_{Open: &eventstorev1.ConsumeRequest_Open{
			Channel: channel, ClientId: who, Credit: 10, Start: &eventstorev1.ConsumeRequest_Open_FromSequence{FromSequence: 1},
		}}}); err != nil {
			t.Fatal(err)
		}
		for {
			resp, err := stream.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if len(resp.GetDeliveries()) > 0 {
				check("Consume", string(resp.GetDeliveries()[0].GetEvent().GetEvent().GetEventData()))
				break
			}
		}
		compat := eventstoreconnect.NewEventStoreClient(transport(t, who), "http://"+h.address, connect.WithGRPC())
		found, err := compat.GetEvents(patient(t), &eventstore.GetEventsRequest{AggregateId: "c-1"})
		if err != nil || len(found.GetEvents()) != 1 {
			t.Fatal(found, err)
		}
		check("GetEvents", found.GetEvents()[0].GetEventData())
	}
}

func contents(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRedelivered: a client of NATS Streaming that gets fields decrypted gets them so when they are sent again, too, and through a
// pattern. What was forgotten meanwhile is sent again encrypted.
func TestRedelivered(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		h := start(t, driver, source, "-wildcards")
		_, sc := h.connect(t, "client")
		payloads := map[string]string{}
		for id, name := range map[string]string{"p-1": "Cornelius", "p-2": "Dorothea"} {
			payloads[id] = fmt.Sprintf(`{"id": %q, "type": "Moved", "name": %q}`, id, name)
			if err := sc.Publish(people, []byte(payloads[id])); err != nil {
				t.Fatal(err)
			}
		}
		for _, subject := range []string{people, "people.>"} {
			in := make(chan *stan.Msg, 100)
			sub, err := sc.QueueSubscribe(subject, "workers", func(m *stan.Msg) { in <- m }, stan.DeliverAllAvailable(), stan.DurableName("d"),
				stan.SetManualAckMode(), stan.AckWait(time.Second))
			if err != nil {
				t.Fatal(err)
			}
			sealed := 0
			for got := map[string]bool{}; len(got) < 4; { // both messages, each for the first time and again
				var m *stan.Msg
				select {
				case m = <-in:
				case <-time.After(harness.Patience):
					t.Fatal("no message")
				}
				data := string(m.Data)
				switch {
				case data == payloads["p-1"], data == payloads["p-2"]:
				case isSealed(data, "Dorothea"):
					sealed++
				default:
					t.Errorf("%s: got %s", subject, data)
				}
				got[fmt.Sprint(m.Sequence, m.Redelivered)] = true
				if len(got) == 2 && subject == people {
					h.forget(t, "p-2")
				}
			}
			if sealed == 0 {
				t.Errorf("%s: what was forgotten is still sent", subject)
			}
			if err := sub.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestFilesOfDatabases: no file of a database has ever held a field. Ordinary names are in MariaDB's help.
func TestFilesOfDatabases(t *testing.T) {
	t.Parallel()
	for driver, kind := range map[string]databases.Kind{"postgres": databases.KindPostgres, "mysql": databases.KindMySQL} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for f := folder; f != os.TempDir() && len(f) > 1; f = f[:strings.LastIndexByte(f, '/')] {
				if err := os.Chmod(f, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			own := databases.OwnIn(t, kind, folder)
			for _, name := range []string{"events", "persons"} {
				if err := own.CreateDatabase(name); err != nil {
					t.Fatal(err)
				}
			}
			h := start(t, driver, own.DSN("events"))
			h.Stop()
			h.keys = own.DSN("persons")
			h.run(t)
			mustAppend(t, h.as(t, "writer"), channel, event("e1", "customer-one", "Zylphabella"), event("e2", "customer-two", "Quorthomew"))
			h.forget(t, "customer-one")
			h.Stop()
			if err := own.Shutdown(); err != nil {
				t.Fatal(err)
			}
			wantNoFile(t, folder, "Zylphabella", "zylphabella", "Quorthomew", "quorthomew")
		})
	}
}
