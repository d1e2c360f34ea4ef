package test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/encoding/protowire"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/test/databases"
)

// taggedChannels declare a channel of each format with tags.
const taggedChannels = `streaming {
	events: [
		{ channels: "envelopes" }
		{
			channels: "orders.>", format: "json", aggregate_id: "$.order.id", event_type: "$.type"
			tags: ["customer:{$.customer.id}", "product:{$.items.sku}", "$.labels", "= shop"]
		}
		{ channels: "clouds", format: "cloudevents", tags: ["tenant:{$.tenant}", "customer:{$.data.customer_id}"] }
		{
			channels: "messages", descriptor_set: "DESCRIPTORS", message: "acme.orders.v1.OrderEvent"
			aggregate_id: "header.order_id", event_type: "oneof_type:event", event_version: "version", event_data: "oneof:event"
			tags: ["customer:{order_placed.customer_id}", "product:{order_placed.items.sku}", "carrier:{order_shipped.carrier}"]
		}
	]
	routes: [
		{ from: "envelopes", stream: TAGGED, subject: "TAGGED.{aggregate_id}" }
		{ from: "orders.>", stream: CLOUDS, subject: "CLOUDS.{aggregate_id}", headers: cloudevents }
	]
}`

// TestTagsOfEachFormat: events of each format, published through NATS Streaming, have their tags in the API, in the Go library
// and in the headers of streams. Bad tags are refused, and nothing of their event is stored.
func TestTagsOfEachFormat(t *testing.T) {
	t.Parallel()
	set, err := filepath.Abs(acme)
	if err != nil {
		t.Fatal(err)
	}
	message := func(order, customer string) []byte {
		text := func(n protowire.Number, text string) []byte {
			return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), text)
		}
		placed := slices.Concat(text(1, customer), text(2, string(text(1, "a-1"))), text(2, string(text(1, "b-2"))))
		return slices.Concat(text(1, string(text(1, order))), text(2, string(placed)))
	}
	cloud := func(id, customer string) string {
		return `{"specversion": "1.0", "id": "` + id + `", "source": "/shop", "type": "T", "tenant": "t-1", "data": {"customer_id": ` + customer + `}}`
	}
	tagged := func(tags ...string) []byte {
		return event(t, "A", "T", func(e *eventstorev1.Event) { e.Tags = tags })
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		conf := write(t, "server.conf", strings.Replace(taggedChannels, "DESCRIPTORS", set, 1))
		s, url := measuredAPI(t, driver, source, "-c", conf, "-js", "-sd", t.TempDir())
		sc := s.connect("client")
		for _, bad := range []struct{ channel, payload, want string }{
			{"envelopes", string(tagged("a\x00b")), `tags contain "a\x00b" with a control character: remove it`},
			{"envelopes", string(tagged("")), "tags contain an empty tag: leave it out"},
			{"orders.new", `{"order": {"id": 1}, "type": "T", "customer": {"id": 1.5}}`, "tags need a text or an integer: $.customer.id is 1.5"},
			{"orders.new", `{"order": {"id": 1}, "type": "T", "labels": ["` + strings.Repeat("x", 256) + `"]}`, `tags contain "` + strings.Repeat("x", 40) + `"… of 256 bytes: shorten it to 255`},
			{"clouds", cloud("bad", `"\n"`), `tags contain "customer:\n" with a control character: remove it`},
			{"messages", string(message("A", "\x00")), `tags contain "customer:\x00" with a control character: remove it`},
		} {
			if err := sc.Publish(bad.channel, []byte(bad.payload)); err == nil || err.Error() != "stan: invalid event: "+bad.want {
				t.Errorf("%s: error %v, want %s", bad.channel, err, bad.want)
			}
		}

		client, err := eventstore.New(eventstore.Options{URLs: []string{url}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		api := dialAPI(t, url)
		for _, it := range []struct {
			channel string
			payload []byte
			want    []string
		}{
			{"envelopes", tagged("b", "a, b", "b"), []string{"b", "a, b"}},
			{"orders.new", []byte(`{"type": "OrderPlaced", "order": {"id": "order-17"}, "customer": {"id": "c-9"}, "items": [{"sku": "a-1"}, {"sku": "b-2"}], "labels": ["urgent"]}`),
				[]string{"customer:c-9", "product:a-1", "product:b-2", "urgent", "shop"}},
			{"clouds", []byte(cloud("e-1", `"c-9"`)), []string{"tenant:t-1", "customer:c-9"}},
			{"messages", message("order-17", "c-9"), []string{"customer:c-9", "product:a-1", "product:b-2"}},
		} {
			publish(t, sc, it.channel, it.payload)
			got, err := api.GetEvent(t.Context(), &eventstorev1.GetEventRequest{Channel: it.channel, Key: &eventstorev1.GetEventRequest_Sequence{Sequence: 1}})
			if err != nil || !slices.Equal(got.GetEvent().GetEvent().GetTags(), it.want) {
				t.Errorf("%s: the API returns %v, %v, want tags %q", it.channel, got, err, it.want)
			}
		}

		// Tags are a set: in another order, it is the same event.
		first := func(e *eventstorev1.Event) { e.EventId = "e-1" }
		publish(t, sc, "envelopes", event(t, "B", "T", first, func(e *eventstorev1.Event) { e.Tags = []string{"x", "y"} }))
		publish(t, sc, "envelopes", event(t, "B", "T", first, func(e *eventstorev1.Event) { e.Tags = []string{"y", "x", "y"} }))
		err = sc.Publish("envelopes", event(t, "B", "T", first, func(e *eventstorev1.Event) { e.Tags = []string{"x"} }))
		refused(t, err, `stan: event_id "e-1" already stored with different content`)

		positions, err := client.Append(t.Context(), "envelopes", []eventstore.NewEvent{{ID: "e-2", Type: "T", AggregateID: "C", Tags: []string{"z", "z"}}})
		if err != nil || len(positions) != 1 || positions[0].Sequence != 3 {
			t.Fatalf("positions %v, error %v", positions, err)
		}
		if e, err := client.Get(t.Context(), "envelopes", "e-2"); err != nil || !slices.Equal(e.Tags, []string{"z"}) {
			t.Errorf("the library returns %+v, %v", e, err)
		}

		js, err := jetstream.New(sc.NatsConn())
		if err != nil {
			t.Fatal(err)
		}
		if m := relayedMessage(t, js, "TAGGED", 1); !slices.Equal(m.Header["Event-Tag"], []string{"b", "a,%20b"}) {
			t.Errorf("headers %v", m.Header)
		}
		if m := relayedMessage(t, js, "CLOUDS", 1); m.Header.Get("ce-tags") != "customer:c-9,product:a-1,product:b-2,urgent,shop" {
			t.Errorf("headers %v", m.Header)
		}

		// The longest tags reach the stream.
		long := make([]string, 64)
		for i := range long {
			long[i] = fmt.Sprintf("%02d%s", i, strings.Repeat("%", 253))
		}
		publish(t, sc, "envelopes", tagged(long...))
		if m := relayedMessage(t, js, "TAGGED", 4); len(m.Header["Event-Tag"]) != 64 {
			t.Errorf("%d headers of tags", len(m.Header["Event-Tag"]))
		}
		_, in := subscribe(t, sc, "messages", stan.DeliverAllAvailable())
		if got := in.next(t).Data; !strings.HasPrefix(string(got), string(message("order-17", "c-9"))) {
			t.Errorf("subscribers receive %q", got)
		}
		s.Stop()
		if r, status := verify(t, driver, source, "-c", conf, "-js"); !r.Clean || status != 0 || r.Events != 7 {
			t.Errorf("verify: %+v", r)
		}
	})
}
