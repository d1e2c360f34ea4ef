package test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/encoding/protowire"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// cloudEvent encodes a CloudEvent in the protobuf format, with the fields and attributes of the one in docs/reference/events.md.
func cloudEvent(id, subject, data string) []byte {
	text := func(b []byte, num protowire.Number, text string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), text)
	}
	value := text(nil, 3, subject)
	attribute := text(text(nil, 1, "subject"), 2, string(value))
	b := text(text(text(text(nil, 1, id), 2, "/shop/orders"), 3, "1.0"), 4, "com.example.order.paid")
	return text(text(b, 5, string(attribute)), 7, data)
}

// TestCloudEvents: the example of docs/reference/events.md, and the same channel in protobuf, through NATS Streaming, the API and a
// route to a stream.
func TestCloudEvents(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/reference/events.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		conf := write(t, "server.conf", strings.Replace(page.Find(t, blocks, "conf", "").Text(), "events {",
			`routes: [{ stream: SHOP, subject: "SHOP.{aggregate_id}", payload: data, headers: cloudevents }, { channel: "copies", payload: data }]
			events {`, 1))
		s, url := measuredAPI(t, driver, source, "-c", conf, "-js", "-sd", t.TempDir())
		sc := s.connect("client")
		payload := []byte(strings.TrimSpace(page.Find(t, blocks, "json", "").Text()))
		publish(t, sc, "shop.orders", payload)
		checkRow(t, driver, source, "cloudevents")

		paid := cloudEvent("e-2", "order-17", `{"amount": 1}`)
		publish(t, sc, "shop.orders", paid, paid, payload)
		if got := query(t, driver, source, "SELECT event_version FROM events WHERE aggregate_id = 'order-17' ORDER BY sequence"); len(got) != 2 || got[1] != "2" {
			t.Errorf("versions %q", got)
		}
		_, in := subscribe(t, sc, "shop.orders", stan.DeliverAllAvailable())
		if first, second := in.next(t).Data, in.next(t).Data; string(first) != string(payload) || string(second) != string(paid) {
			t.Errorf("subscribers receive %q and %q", first, second)
		}
		_, copies := subscribe(t, sc, "copies", stan.DeliverAllAvailable())
		if first, second := string(copies.next(t).Data), string(copies.next(t).Data); !sameJSON(first, `{"customer_id": "c-9", "total": 12.5}`) || second != `{"amount": 1}` {
			t.Errorf("copies of the data are %q and %q", first, second)
		}

		got, err := dialAPI(t, url).GetEvent(t.Context(), &eventstorev1.GetEventRequest{Key: &eventstorev1.GetEventRequest_EventId{EventId: "e-1"}})
		if err != nil {
			t.Fatal(err)
		}
		ev := got.GetEvent().GetEvent()
		if ev.GetAggregateType() != "/shop/orders" || ev.GetAggregateId() != "order-17" || ev.GetMetadata()["correlationid"] != "c-1" ||
			ev.GetEventVersion() != 1 || ev.GetOccurredAt().GetSeconds() != 1767323045 || ev.GetContentType() != "application/json" || string(got.GetEvent().GetPayload()) != string(payload) {
			t.Errorf("the API returns %v", got)
		}

		refused := &eventstorev1.AppendRequest{Channel: "shop.orders", Events: []*eventstorev1.Event{{EventType: "T", AggregateId: "A"}}}
		if _, err := dialAPI(t, url).Append(t.Context(), refused); err == nil || !strings.Contains(err.Error(), "its messages are cloudevents, which NATS Streaming clients publish") {
			t.Errorf("Append: error %v", err)
		}

		js, err := jetstream.New(sc.NatsConn())
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"com.example.order.placed", "com.example.order.paid"} {
			m := relayedMessage(t, js, "SHOP", uint64(i+1))
			if m.Subject != "SHOP.order-17" || m.Header.Get("ce-type") != want || m.Header.Get("ce-aggregateversion") != strconv.Itoa(i+1) || m.Header.Get("ce-aggregatetype") != "/shop/orders" || !strings.HasPrefix(string(m.Data), "{\"") {
				t.Errorf("the stream has %s %v %s", m.Subject, m.Header, m.Data)
			}
		}
		for payload, want := range map[string]string{
			`{"order": 1}`: "stan: invalid event: not a valid CloudEvent: specversion is missing: publish a single event, in the structured mode, with its attributes",
			"[]":           "stan: invalid event: not a valid CloudEvent: it is a list: publish each event of a batch as a message of its own",
			"hello":        "stan: invalid event: not a valid CloudEvent: it is not a JSON object, and as io.cloudevents.v1.CloudEvent malformed at byte 3",
		} {
			if err := sc.Publish("shop.orders", []byte(payload)); err == nil || err.Error() != want {
				t.Errorf("%s: error %v, want %s", payload, err, want)
			}
		}
		s.Stop()
		if r, status := verify(t, driver, source, "-c", conf, "-js"); !r.Clean || status != 0 || r.Events != 2 {
			t.Errorf("verify: %+v", r)
		}
	})
}

// relayedMessage waits for a message of a stream, which a relay may have yet to create.
func relayedMessage(t *testing.T, js jetstream.JetStream, stream string, sequence uint64) *jetstream.RawStreamMsg {
	t.Helper()
	var m *jetstream.RawStreamMsg
	eventually(t, func() bool {
		str, err := js.Stream(t.Context(), stream)
		if err == nil {
			m, err = str.GetMsg(t.Context(), sequence)
		}
		return err == nil
	})
	return m
}
