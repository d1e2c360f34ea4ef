package test

import (
	"strings"
	"testing"

	"github.com/nats-io/stan.go"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// TestJSONEvents: the examples of docs/reference/events.md for JSON.
func TestJSONEvents(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/reference/events.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		conf := write(t, "server.conf", page.Find(t, blocks, "conf", "").Text())
		s := start(t, driver, source, "-c", conf)
		sc := s.connect("client")
		payload := strings.TrimSpace(page.Find(t, blocks, "json", "").Text())
		publish(t, sc, "orders.new", []byte(payload))
		checkRow(t, driver, source, "json")

		// Subscribers see what was published, with the version.
		stored := strings.Replace(payload, `"order-17"`, `"order-17","version":1`, 1)
		_, in := subscribe(t, sc, "orders.new", stan.DeliverAllAvailable())
		if got := string(in.next(t).Data); got != stored {
			t.Errorf("subscribers receive %s, want %s", got, stored)
		}

		// Publishing the event again succeeds, however it is written. Another event with its event_id is refused.
		again := `{"data":{"total":125e-1,"customer_id":"\u0063-9"},"order":{"id":"order-17"},"type":"OrderPlaced","context":{"correlation_id":"c-1"},"at":"2026-01-02T03:04:05Z","id":"e-1"}`
		publish(t, sc, "orders.new", []byte(payload), []byte(stored), []byte(again))
		err := sc.Publish("orders.new", []byte(strings.Replace(payload, "12.50", "12.51", 1)))
		if err == nil || !strings.Contains(err.Error(), `event_id "e-1"`) {
			t.Errorf("other content with the same event_id: error %v", err)
		}

		// Expected versions are checked.
		second := []byte(`{"type":"OrderShipped","order":{"id":"order-17","version":2}}`)
		publish(t, sc, "orders.new", second)
		want := `stan: wrong expected version: aggregate "order-17" is at version 2, event has version 2`
		if err := sc.Publish("orders.new", second); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}

		for payload, want := range map[string]string{
			"":                               "stan: invalid event: not a valid JSON event: it ends too early",
			"{}":                             "stan: invalid event: aggregate_id is missing: $.order.id is absent, null or empty",
			`{"type": "A", "type": "B"}`:     `stan: invalid event: not a valid JSON event: an object has two members "type"`,
			"{\"type\": \"\xff\"}":           "stan: invalid event: not a valid JSON event: invalid UTF-8 at byte 10",
			`{"order": {"id": 1.5}}`:         "stan: invalid event: aggregate_id must be a text or an integer: $.order.id is 1.5",
			string(event(t, "A", "T")):       "stan: invalid event: not a valid JSON event: unexpected ",
			strings.Repeat("[", 100_000):     "stan: invalid event: not a valid JSON event: it is nested deeper than 100",
			`{"order": {"id": "\u0000"}}`:    "stan: invalid event: not a valid JSON event: a text contains a NUL byte, at byte 18",
			`{"order": "17", "type": "Odd"}`: "stan: invalid event: aggregate_id is missing: $.order is a text, not an object",
		} {
			if err := sc.Publish("orders.new", []byte(payload)); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%.100q: error %v, want %s", payload, err, want)
			}
		}
		// Numbers keep their digits, and what a database cannot hold as JSON is stored anyway.
		publish(t, sc, "orders.new", []byte(`{"type":"T","order":{"id":12345678901234567890123},"data":[9007199254740993]}`),
			[]byte(`{"type":"T","order":{"id":"odd"},"data":[1e999]}`))
		if got := query(t, driver, source, "SELECT event_data FROM events WHERE aggregate_id = '12345678901234567890123'"); len(got) != 1 || got[0] != "[9007199254740993]" {
			t.Errorf("event_data %q", got)
		}
		if got := query(t, driver, source, "SELECT event_data FROM events WHERE aggregate_id = 'odd'"); len(got) != 1 || got[0] != `"WzFlOTk5XQ=="` {
			t.Errorf("event_data %q", got)
		}
		s.Stop()
		if r, status := verify(t, driver, source, "-c", conf); !r.Clean || status != 0 || r.Events != 4 {
			t.Errorf("verify: %+v", r)
		}
	})
}

// TestVersionInEventData: an assigned version is in event_data if its member is, and in the copies of event_data.
func TestVersionInEventData(t *testing.T) {
	t.Parallel()
	databases.Each(t, func(t *testing.T, driver, source string) {
		conf := write(t, "server.conf", `streaming {
			events { channels: "orders", format: json, aggregate_id: "$.id", event_type: "= Changed", event_version: "$.version", event_data: "$" }
			routes { channel: "copies", payload: data }
		}`)
		s := start(t, driver, source, "-c", conf)
		sc := s.connect("client")
		publish(t, sc, "orders", []byte(`{"id": 1}`), []byte(`{"id": 1, "version": 0}`), []byte(`{"id": 2, "version": 1}`))
		_, in := subscribe(t, sc, "copies", stan.DeliverAllAvailable())
		for i, want := range []string{`{"id": 1,"version":1}`, `{"id": 1, "version": 2}`, `{"id": 2, "version": 1}`} {
			if got := string(in.next(t).Data); got != want {
				t.Errorf("copy %d is %s, want %s", i, got, want)
			}
		}
		documents := query(t, driver, source, "SELECT event_data FROM events ORDER BY sequence")
		if len(documents) != 3 || !sameJSON(documents[0], `{"id": 1, "version": 1}`) || !sameJSON(documents[1], `{"id": 1, "version": 2}`) {
			t.Errorf("event_data %q", documents)
		}
		s.Stop()
		if r, status := verify(t, driver, source, "-c", conf); !r.Clean || status != 0 || r.Events != 3 {
			t.Errorf("verify: %+v", r)
		}
	})
}

// TestMigrateJSON: messages in JSON that were published before their channel had events become events. Payloads stay as they
// are, and a message that is not an event stays a message.
func TestMigrateJSON(t *testing.T) {
	t.Parallel()
	configuration := shownFor(t, "TestJSONEvents")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source)
		sc := s.connect("client")
		publish(t, sc, "orders.old", []byte(`{"type":"OrderPlaced","order":{"id":1},"data":{"total":0.10}}`),
			[]byte(`{"type":"OrderPaid","order":{"id":1},"data":{}}`), []byte(`{"type":"A","type":"B"}`))
		s.Stop()

		conf := write(t, "server.conf", configuration)
		out, status := runBinary(t, "migrate", "-store", "SQL", "-sql_driver", driver, "-sql_source", source, "-c", conf)
		if status != 0 || !strings.Contains(out, `an object has two members "type"`) {
			t.Errorf("migrate: status %d\n%s", status, out)
		}
		s = start(t, driver, source, "-c", conf)
		sc = s.connect("client")
		publish(t, sc, "orders.old", []byte(`{"type":"OrderShipped","order":{"id":1,"version":3}}`))
		got := query(t, driver, source, "SELECT event_type FROM events WHERE aggregate_id = '1' ORDER BY event_version")
		if strings.Join(got, " ") != "OrderPlaced OrderPaid OrderShipped" {
			t.Errorf("events %q", got)
		}
		_, in := subscribe(t, sc, "orders.old", stan.DeliverAllAvailable())
		if got := string(in.next(t).Data); got != `{"type":"OrderPlaced","order":{"id":1},"data":{"total":0.10}}` {
			t.Errorf("the payload became %s", got)
		}
		s.Stop()
		if r, status := verify(t, driver, source, "-c", conf); !r.Clean || status != 0 || r.Events != 3 {
			t.Errorf("verify: %+v", r)
		}
	})
}
