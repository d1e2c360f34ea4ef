package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

const acme = "../../../proto/testdata/acme.binpb"

// configureWith runs configure with a configuration file that contains text.
func configureWith(t *testing.T, text string, args ...string) (config.Options, string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := configureIn(t, append([]string{"-store=MEMORY", "-sc=" + file}, args...)...)
	return o, file, err
}

const severalBlocks = `streaming {
	events: [
		{
			channels: ["orders.>", "returns"]
			versions: "unique"
			descriptor_set: "` + acme + `"
			message: "acme.orders.v1.OrderEvent"
			aggregate_id: "header.order_id"
			aggregate_type: "= Order"
			event_type: "oneof_type:event"
			event_id: "header.event_id"
			event_version: "version"
			event_data: "oneof:event"
			metadata: "metadata"
			tags: ["customer:{order_placed.customer_id}", "order_placed.items.sku"]
			index_event_data: ["$.customer_id"]
		}
		{
			channels: ">"
			index_event_data: ["$.customer_id", "$.carrier"]
		}
	]
}`

func TestEventBlocks(t *testing.T) {
	o, file, err := configureWith(t, severalBlocks)
	if err != nil {
		t.Fatal(err)
	}
	unique, err := eventlog.ParseChannelVersions("unique")
	if err != nil {
		t.Fatal(err)
	}
	order := eventlog.EventBlock{Channels: []string{"orders.>", "returns"}, Versions: []eventlog.ChannelVersions{unique}}
	order.Payload.DescriptorSet, order.Payload.Message = acme, "acme.orders.v1.OrderEvent"
	order.Payload.AggregateID, order.Payload.AggregateType, order.Payload.EventType = "header.order_id", "= Order", "oneof_type:event"
	order.Payload.EventID, order.Payload.EventVersion = "header.event_id", "version"
	order.Payload.EventData, order.Payload.Metadata = "oneof:event", "metadata"
	order.Payload.Tags = []string{"customer:{order_placed.customer_id}", "order_placed.items.sku"}
	order.At = file + ":4"
	if want := []eventlog.EventBlock{order, {At: file + ":19", Channels: []string{">"}}}; !reflect.DeepEqual(o.Events, want) {
		t.Errorf("events %+v\nwant %+v", o.Events, want)
	}
	if want := []string{"$.carrier", "$.customer_id"}; !reflect.DeepEqual(o.Store.IndexEventData, want) {
		t.Errorf("indexes %q, want %q", o.Store.IndexEventData, want)
	}
}

func TestEventChannelsOfFileAndFlag(t *testing.T) {
	tests := []struct {
		name, text string
		args       []string
		want       []string
	}{
		{"default", "cid: c", nil, []string{"eventstore.>"}},
		{"block without channels", `events { versions: "off" }`, nil, []string{"eventstore.>"}},
		{"one block", `events { channels: ["a", "b"] }`, nil, []string{"a", "b"}},
		{"flag", "cid: c", []string{"-event_channels=a.>,b"}, []string{"a.>", "b"}},
		{"flag over a block", `events { channels: ["a", "b"] }`, []string{"-event_channels=c"}, []string{"c"}},
		{"flag over no blocks", `events: []`, []string{"-event_channels=c"}, []string{"c"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, _, err := configureWith(t, tt.text, tt.args...)
			if err != nil || len(o.Events) != 1 || !reflect.DeepEqual(o.Events[0].Channels, tt.want) {
				t.Errorf("events %+v, error %v, want %q", o.Events, err, tt.want)
			}
		})
	}
	if o, _, err := configureWith(t, "events: []"); err != nil || len(o.Events) != 0 {
		t.Errorf("no blocks: events %+v, error %v", o.Events, err)
	}
}

func TestWrongEventBlocks(t *testing.T) {
	const block = `streaming {
	events {
		channels: ["orders.>", "returns"], descriptor_set: "` + acme + `", message: "acme.orders.v1.OrderEvent"
		event_type: "$message", aggregate_id: "header.order_id"
		%
	}
}`
	for line, want := range map[string]string{
		`aggregate_id: "header.id"`:                  `:2: events block of channels orders.>, returns: aggregate_id: "header.id": acme.orders.v1.Header has no field "id"`,
		`event_type: ""`:                             `:2: events block of channels orders.>, returns: event_type is missing`,
		`descriptor_set: "none"`:                     `:2: events block of channels orders.>, returns: descriptor_set: open none: `,
		`channels: "a..b"`:                           `:2: events block of channels a..b: channels: "a..b" is not a pattern`,
		`aggregate: "x"`:                             `:5: unknown key "events.aggregate"`,
		`event_id: 5`:                                `:5: parameter "event_id" value is expected to be string, got int64`,
		`tags: ["customer:{order_placed.customer}"]`: `:2: events block of channels orders.>, returns: tags: "customer:{order_placed.customer}": acme.orders.v1.OrderPlaced has no field "customer"`,
		`tags: 5`:                                    `:5: parameter "tags" value is expected to be slice, got int64`,
		`versions: "loose"`:                          `:5: key "events.versions": versions "loose"`,
	} {
		_, file, err := configureWith(t, strings.Replace(block, "%", line, 1))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
		t.Log(strings.ReplaceAll(fmt.Sprint(err), file, filepath.Base(file)))
	}
	for text, want := range map[string]string{
		`events: 5`:                                `:1: parameter "events" value is expected to be map, got int64`,
		`events: ["a"]`:                            `:1: parameter "events" value is expected to be map, got string`,
		`events: [{versions: "off"}]`:              `:1: events block 1: channels are missing`,
		`events {format: xml}`:                     `:1: key "events.format": "xml" must be protobuf, json or cloudevents`,
		`events {format: json, event_type: "= T"}`: `aggregate_id is missing: name a member, such as $.order.id`,
		`events {format: json, event_type: "= T", aggregate_id: "id"}`:                                   `aggregate_id: "id": must begin with $., such as $.order.id`,
		`events {format: json, event_type: "= T", aggregate_id: "$.ids[0]"}`:                             `so it cannot be in a list`,
		`events {format: json, event_type: "= T", aggregate_id: "$.id", event_version: "$.id"}`:          `event_version: $.id is aggregate_id, too: name a member of its own`,
		`events {format: json, event_type: "= T", aggregate_id: "$.id", descriptor_set: "a"}`:            `descriptor_set is for format: protobuf: remove it, or remove format: json`,
		`events {format: cloudevents, event_version: "$.id"}`:                                            `name an extension, or a member of $.data`,
		`events {aggregate_id: $.id}`:                                                                    `: write a path in quotes, such as "$.id"`,
		`events {format: json, event_type: "= T", aggregate_id: "$.id", tags: ["customer:{$.customer"]}`: `:1: events block of channels eventstore.>: tags: "customer:{$.customer": {$.customer has no closing brace`,
		`events {tags: ["customer:{customer}"]}`:                                                         `:1: events block of channels eventstore.>: descriptor_set is missing`,
		`events {message: "acme.E"}`:                                                                     `:1: events block of channels eventstore.>: descriptor_set is missing`,
		`limits {channels {"orders.new" {mm: 1}}}, events: [{channels: "a"}, {channels: "orders.*"}]`:    `would remove events of "orders.*"`,
	} {
		_, file, err := configureWith(t, text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", text, err, want)
		}
		t.Log(strings.ReplaceAll(fmt.Sprint(err), file, filepath.Base(file)))
	}
	if _, _, err := configureWith(t, severalBlocks, "-event_channels=a"); err == nil || !strings.Contains(err.Error(), "several events blocks") {
		t.Errorf("flag over several blocks: error %v", err)
	}
}
