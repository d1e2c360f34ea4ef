package personal_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// TestFields: who has the right personal reads what was published; everybody and everything else sees ciphertext.
func TestFields(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		h := start(t, driver, source)
		writer, reader, clerk := h.as(t, "writer"), h.as(t, "reader"), h.as(t, "clerk")
		mustAppend(t, writer, channel, event("e1", "c-1", "Annabella"), event("e2", "c-2", "Bartholomew"))
		if got := read(t, clerk, channel, 1); got != dataOf("c-1", "Annabella") {
			t.Errorf("with the right personal: %s", got)
		}
		for who, c := range map[string]client{"reader": reader, "admin": h.as(t, "admin")} {
			if got := read(t, c, channel, 1); !isSealed(got, "Annabella", "annabella") || !strings.Contains(got, `"city":"Oslo"`) {
				t.Errorf("%s without the right personal: %s", who, got)
			}
		}
		// SQL sees ciphertext, and queries the rest.
		for _, data := range column(t, driver, source, "SELECT event_data FROM events WHERE aggregate_id = 'c-2'") {
			if !strings.Contains(data, "$sealed") || strings.Contains(data, "Bartholomew") || !strings.Contains(data, "Oslo") {
				t.Errorf("event_data %s", data)
			}
		}
		for _, data := range column(t, driver, source, "SELECT data FROM Messages") {
			if strings.Contains(data, "Annabella") || strings.Contains(data, "Bartholomew") || strings.Contains(data, "example.org") {
				t.Errorf("stored: %q", data)
			}
		}

		// The same event again is a duplicate, although its ciphertext would differ. Another one is not.
		if resp := mustAppend(t, writer, channel, event("e1", "c-1", "Annabella")); !resp.GetDuplicate() {
			t.Error("a repeated event was stored")
		}
		if _, err := appendTo(t, writer, channel, event("e1", "c-1", "Annalena")); connect.CodeOf(err) != connect.CodeAlreadyExists {
			t.Errorf("other content with the same event_id: %v", err)
		}
		// Fields need a subject, and what was read encrypted is not published again.
		for data, want := range map[string]string{
			`{"name":"Nobody"}`:                             "$.name cannot be encrypted: $.customer_id, which says whose it is, is absent",
			`not JSON`:                                      "event_data is not a JSON object",
			read(t, reader, channel, 1):                     "$.name is encrypted already",
			`{"customer_id":["c-1"],"name":"Nobody"}`:       "$.customer_id must be a text or an integer",
			`{"customer_id":"c-1","name":{"$sealed":"QQ"}}`: "$.name is encrypted already",
		} {
			e := event("odd", "c-9", "")
			e.EventData = []byte(data)
			if _, err := appendTo(t, writer, channel, e); connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", data, err, want)
			}
		}

		// Clients of NATS Streaming get what the configuration says; copies on other channels are never decrypted.
		_, sc := h.connect(t, "client")
		payload := `{"id": "p-1", "type": "Moved", "event": "m1", "name": "Cornelius", "agent": 7, "agent_phone": 5550123}`
		for range 2 { // the second is a duplicate
			if err := sc.Publish(people, []byte(payload)); err != nil {
				t.Fatal(err)
			}
		}
		if err := sc.Publish(people, []byte(strings.Replace(payload, "5550123", "5550124", 1))); err == nil || !strings.Contains(err.Error(), `event_id "m1"`) {
			t.Errorf("other content with the same event_id: %v", err)
		}
		if got := received(t, sc, people, 1)[0]; got != payload {
			t.Errorf("plain subscribers get %s", got)
		}
		for _, on := range []string{channel, copies} {
			for _, got := range received(t, sc, on, 2) {
				if !strings.Contains(got, "$sealed") || strings.Contains(got, "Annabella") || strings.Contains(got, "Bartholomew") {
					t.Errorf("subscribers of %s get %s", on, got)
				}
			}
		}
		for _, data := range column(t, driver, source, "SELECT data FROM Messages") {
			if strings.Contains(data, "Cornelius") || strings.Contains(data, "5550123") {
				t.Errorf("stored: %q", data)
			}
		}
		if got := read(t, clerk, people, 1); got != payload {
			t.Errorf("JSON with the right personal: %s", got)
		}

		// A group of events with many subjects, of which no key is in memory.
		var many []*eventstorev1.Event
		for i := range 300 {
			many = append(many, event(fmt.Sprintf("many-%d", i), fmt.Sprintf("many-%d", i), "Dorothea"))
		}
		mustAppend(t, writer, channel, many...)
		if got := read(t, clerk, channel, 302); got != dataOf("many-299", "Dorothea") {
			t.Errorf("the last of many: %s", got)
		}

		h.Stop()
		if driver == "sqlite" {
			wantNoFile(t, filepath.Dir(source), "Annabella", "annabella", "Bartholomew", "Cornelius", "5550123", "Dorothea")
			wantNoFile(t, filepath.Dir(h.keys), "c-1", "c-2", "many-299")
		}
		h.run(t)
		if got := read(t, h.as(t, "clerk"), channel, 2); got != dataOf("c-2", "Bartholomew") {
			t.Errorf("after a restart: %s", got)
		}
		verified(t, h)
	})
}

// TestStream: a stream of JetStream gets ciphertext.
func TestStream(t *testing.T) {
	t.Parallel()
	h := start(t, "sqlite", databases.SQLite(t), "-js")
	mustAppend(t, h.as(t, "writer"), channel, event("e1", "c-1", "Annabella"))
	nc, _ := h.connect(t, "client")
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := js.SubscribeSync("CUSTOMERS.>", nats.BindStream("CUSTOMERS"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := sub.NextMsgWithContext(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Data); !strings.Contains(got, "$sealed") || strings.Contains(got, "Annabella") {
		t.Errorf("the stream has %s", got)
	}
}
