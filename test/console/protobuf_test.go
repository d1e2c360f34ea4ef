package console_test

import (
	"encoding/base64"
	"path/filepath"
	"slices"
	"testing"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/encoding/protowire"
)

// TestProtobuf shows messages by the descriptors of the configuration, and others by field numbers.
func TestProtobuf(t *testing.T) {
	t.Parallel()
	set, err := filepath.Abs("../../proto/testdata/acme.binpb")
	if err != nil {
		t.Fatal(err)
	}
	text := func(n protowire.Number, text string) []byte {
		return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), text)
	}
	placed := slices.Concat(text(1, "customer-7"), text(2, string(text(1, "a-1"))))
	eachDatabase(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", configured(t, `events: [ { channels: "eventstore.>" }, {
			channels: "messages", descriptor_set: "`+set+`", message: "acme.orders.v1.OrderEvent"
			aggregate_id: "header.order_id", event_type: "oneof_type:event", event_data: "oneof:event" } ]`))
		encoded := base64.StdEncoding.EncodeToString(placed)
		for _, e := range []object{
			{"eventType": "OrderPlaced", "contentType": "application/protobuf"},
			{"eventType": "Placed", "contentType": `application/protobuf; messageType="acme.orders.v1.OrderPlaced"`},
			{"eventType": "Placed", "contentType": "application/protobuf"},
		} {
			e["aggregateType"], e["aggregateId"], e["eventData"] = "Order", "o1", encoded
			s.call(t, "EventStore/Append", object{"channel": "eventstore.orders", "events": []object{e}})
		}
		publisher := s.worker(t, "shop", func(m *stan.Msg) { _ = m.Ack() })
		if err := publisher.Publish("messages", slices.Concat(text(1, string(text(1, "o2"))), text(2, string(placed)))); err != nil {
			t.Fatal(err)
		}
		p := browser(t, s)
		p.open("/console/events")
		p.sees(`{"customer_id":"customer-7"`)
		for path, shown := range map[string][]string{
			"/console/events/1": {`"customer_id": "customer-7"`, "protobuf message acme.orders.v1.OrderPlaced as JSON"},
			"/console/events/2": {`"sku": "a-1"`, "protobuf message acme.orders.v1.OrderPlaced as JSON"},
			"/console/events/3": {`1: "customer-7"`, "protobuf, by field numbers"},
			"/console/events/4": {"The message as it was published", `"order_placed": {`, `"order_id": "o2"`, "protobuf message acme.orders.v1.OrderEvent as JSON"},
			"/console/aggregate?channel=eventstore.orders&type=Order&id=o1": {`"customer_id": "customer-7"`, "Left out: 1 event without a JSON object"},
		} {
			p.open(path)
			p.sees(shown...)
		}
	})
}
