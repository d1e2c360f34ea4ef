package personal_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/encoding/protowire"

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
			wantNoFile(t, filepath.Dir(h.keys), "many-150", "many-299") // shorter ones are in random bytes now and then
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

// TestFormats: CloudEvents and protobuf messages are encrypted and decrypted as they were published, and are still what they were: with
// columns, versions and duplicates.
func TestFormats(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		h := start(t, driver, source)
		_, sc := h.connect(t, "client")
		cloud := `{"specversion":"1.0","id":"1","source":"shop","type":"Registered","subject":"c-1","data":{"customer":"c-1","name":"Annabella","city":"Oslo"}}`
		order := func(id string, content ...byte) []byte {
			header := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "o-1")
			header = protowire.AppendString(protowire.AppendTag(header, 2, protowire.BytesType), id)
			return append(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), header), content...)
		}
		placed := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType),
			protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "Bartholomew"))
		label := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), []byte{0xff, 0xfe, 'C', 'o', 'r', 'n', 'e', 'l', 'i', 'u', 's'})
		shipped := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), protowire.AppendVarint(protowire.AppendTag(label, 3, protowire.VarintType), 7))
		secrets := []string{"Annabella", "Bartholomew", "Cornelius"}
		for range 2 { // the second ones are duplicates
			for _, m := range []struct {
				on      string
				payload []byte
			}{{"cloud.customers", []byte(cloud)}, {"orders.eu", order("1", placed...)}, {"orders.eu", order("2", shipped...)}} {
				if err := sc.Publish(m.on, m.payload); err != nil {
					t.Fatalf("%s: %v", m.on, err)
				}
			}
		}
		if err := sc.Publish("cloud.customers", []byte(strings.Replace(cloud, "Annabella", "Annalena", 1))); err == nil || !strings.Contains(err.Error(), "event_id") {
			t.Errorf("other content with the same ID: %v", err)
		}
		if got := received(t, sc, "cloud.customers", 1)[0]; !strings.Contains(got, `"name":"Annabella"`) {
			t.Errorf("plain subscribers get %s", got)
		}
		for i, want := range [][]byte{order("1", placed...), order("2", shipped...)} {
			if got := received(t, sc, "orders.eu", 2)[i]; !strings.HasPrefix(got, string(want)) { // the version follows
				t.Errorf("plain subscribers get %q, want %q", got, want)
			}
		}
		if got := column(t, driver, source, "SELECT COUNT(*) FROM events"); got[0] != "3" {
			t.Errorf("%s events", got[0])
		}
		for _, text := range []string{"SELECT data FROM Messages", "SELECT event_data FROM events"} {
			for _, data := range column(t, driver, source, text) {
				if !strings.Contains(data, "$sealed") && !strings.Contains(data, "JHNlYWxlZD") { // in base64, as event_data has bytes
					t.Errorf("%s: nothing is encrypted in %q", text, data)
				}
				for _, secret := range secrets {
					if strings.Contains(data, secret) {
						t.Errorf("%s: %q", text, data)
					}
				}
			}
		}
		if got := read(t, h.as(t, "clerk"), "orders.eu", 1); !strings.Contains(got, `"customer_id":"Bartholomew"`) {
			t.Errorf("with the right personal: %s", got)
		}
		if got := read(t, h.as(t, "reader"), "orders.eu", 1); !strings.Contains(got, `"customer_id":"$sealed:`) {
			t.Errorf("without the right personal: %s", got)
		}
		for on, keep := range map[string]string{"cloud.customers": "c-1", "orders.eu": "o-1"} {
			h.forget(t, keep)
			if got := read(t, h.as(t, "clerk"), on, 1); !strings.Contains(got, "$sealed") {
				t.Errorf("%s: after the subject was forgotten: %s", on, got)
			}
		}
		verified(t, h)
	})
}
