package settings

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/server/config"
	"github.com/nats-eventstore/nats-eventstore/server/relay"
)

func TestRoutes(t *testing.T) {
	o, file, err := configureWith(t, `streaming {
	routes: [
		{ types: ["OrderPaid", "Order*"], channel: "paid", payload: Data }
		{
			from: "eventstore.orders", stream: ORDERS
			subject: "ORDERS.{event_type}", headers: CloudEvents
		}
	]
}`, "-js")
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Route{
		{At: file + ":3", Types: []string{"OrderPaid", "Order*"}, Channel: "paid", DataOnly: true},
		{At: file + ":4", From: []string{"eventstore.orders"}, Stream: "ORDERS", Subject: "ORDERS.{event_type}", Headers: relay.HeadersCloudEvents},
	}
	for i := range o.Routes { // the parser may report any line of a block
		if !strings.HasPrefix(o.Routes[i].At, file+":") {
			t.Errorf("route %d is at %q", i, o.Routes[i].At)
		}
		want[i].At = o.Routes[i].At
	}
	if o.NATS.StoreDir == "" {
		t.Error("StoreDir is empty: JetStream would use a temporary directory")
	}
	if !reflect.DeepEqual(o.Routes, want) {
		t.Errorf("routes %+v\nwant %+v", o.Routes, want)
	}
}

func TestWrongRoutes(t *testing.T) {
	for text, want := range map[string]string{
		`{ channel: a, chanel: b }`: `unknown key "routes.chanel"`,
		`{ types: X }`:              `set either channel or stream`,
		`{ channel: a, stream: A, subject: "A.{event_type}" }`:                      `set either channel or stream`,
		`{ channel: "eventstore.x" }`:                                               `channel: "eventstore.x" is an event channel`,
		`{ channel: "a.*" }`:                                                        `channel: "a.*" is not a valid channel name`,
		`{ channel: "a/b" }`:                                                        `channel: "a/b" is not a valid channel name`,
		`{ channel: "a.{type}" }`:                                                   `channel: "a.{type}": {type} must be one of {event_type}`,
		`{ channel: "a.x{event_type}" }`:                                            `{event_type} must stand alone between two dots`,
		`{ channel: "eventstore.{event_type}" }`:                                    `channel: "eventstore.>" is an event channel`,
		`{ channel: "{event_type}", types: "eventstore.*" }`:                        `channel: "eventstore.*" is an event channel`,
		`{ from: b, channel: a }`:                                                   `from: "b" is not an event channel`,
		`[{ channel: a }, { from: a, channel: b }]`:                                 `from: events are routed to "a", so the routes form a loop`,
		`[{ channel: a }, { from: "*", channel: b }]`:                               `from: events are routed to "a", so the routes form a loop`,
		`[{ channel: a }, { channel: A }]`:                                          `channel: "A" and "a" differ only in case`,
		`[{ stream: A, subject: "e.{event_type}" }, { stream: B, subject: "e.b" }]`: `streams "A" and "B" have overlapping subjects`,
		`[{ stream: A, subject: "e.{event_type}", types: "A" }, { stream: B, subject: "e.{event_type}", types: "*" }]`: `streams "A" and "B" have overlapping subjects`,
		`{ from: "a..b", channel: a }`:                           `from: "a..b" is not a pattern of channels`,
		`{ types: "a.*b", channel: a }`:                          `types: "a.*b" is not a pattern of event types`,
		`{ channel: a, payload: json }`:                          `"json" must be envelope or data`,
		`{ channel: a, subject: b }`:                             `subject and headers apply only to a route to a stream`,
		`{ stream: "A.B", subject: "{event_type}", types: "A" }`: `stream: "A.B" is not a valid stream name`,
		`{ stream: A, subject: "A.{type}" }`:                     `{type} must be one of {event_type}`,
		`{ stream: A, subject: "A.x{event_type}" }`:              `{event_type} must stand alone between two dots`,
		`{ stream: A, subject: "A.*" }`:                          `"*" cannot be in a subject`,
		`{ stream: A, subject: "A..b" }`:                         `a token is empty`,
		`{ stream: A }`:                                          `subject is missing: name where`,
		`{ stream: A, subject: "{event_type}" }`:                 `list the types`,
		`{ stream: A, subject: "A.{event_type}" }`:               `stream "A" needs JetStream: start with -js`,
		`{ stream: A, subject: "_STAN.{event_type}" }`:           `is reserved for`,
		`"a"`: `parameter "routes" value is expected to be map, got string`,
	} {
		_, file, err := configureWith(t, "streaming {\n\troutes: "+text+"\n}")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file+":2") {
			t.Errorf("%s: error %v, want %s at line 2", text, err, want)
		}
		t.Log(strings.ReplaceAll(fmt.Sprint(err), file, filepath.Base(file)))
	}
}
