package test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/stan.go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

const acme = "../proto/testdata/acme.binpb"

// shownFor returns the configuration that docs/reference/events.md shows for a test.
func shownFor(t *testing.T, test string) string {
	t.Helper()
	for _, b := range page.Open(t, "docs/reference/events.md") {
		if b.Language == "conf" && b.Test == test {
			return b.Text()
		}
	}
	t.Fatalf("the page has no configuration for %s", test)
	return ""
}

// row returns the table of docs/reference/events.md after a mark.
func row(t *testing.T, mark string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/reference/events.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "<!-- row: "+mark+" -->\n")
	if !ok {
		t.Fatalf("docs/reference/events.md has no row %q", mark)
	}
	table, _, _ := strings.Cut(after, "\n\n")
	return table
}

// mappedOrders writes the configuration of the example.
func mappedOrders(t *testing.T, configuration string) string {
	t.Helper()
	set, err := filepath.Abs(acme)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "server.conf", strings.Replace(configuration, "acme.binpb", set, 1))
}

// orderEvent encodes an acme.orders.v1.OrderEvent given as JSON.
func orderEvent(t *testing.T, text string) []byte {
	t.Helper()
	content, err := os.ReadFile(acme)
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(content, &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatal(err)
	}
	md, err := files.FindDescriptorByName("acme.orders.v1.OrderEvent")
	if err != nil {
		t.Fatal(err)
	}
	msg := dynamicpb.NewMessage(md.(protoreflect.MessageDescriptor))
	if err := (protojson.UnmarshalOptions{Resolver: dynamicpb.NewTypes(files)}).Unmarshal([]byte(text), msg); err != nil {
		t.Fatal(err)
	}
	payload, err := proto.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// checkRow compares the only event with a table of docs/reference/events.md.
func checkRow(t *testing.T, driver, source, mark string) {
	t.Helper()
	columns := map[string]string{}
	for line := range strings.Lines(row(t, mark)) {
		if cells := strings.Split(line, "`"); len(cells) == 3 {
			columns[strings.Trim(cells[0], "| ")] = cells[1]
		}
	}
	for column, want := range columns {
		got := query(t, driver, source, "SELECT "+column+" FROM events")
		if len(got) != 1 || got[0] != want && (!strings.HasPrefix(want, "{") || !sameJSON(got[0], want)) {
			t.Errorf("%s %q, want %s", column, got, want)
		}
	}
	if len(columns) != 7 {
		t.Errorf("the example has the columns %v", columns)
	}
}

// TestMappedMessages: the examples of docs/reference/events.md for a custom message type.
func TestMappedMessages(t *testing.T) {
	t.Parallel()
	blocks := page.Own(t, "docs/reference/events.md")
	databases.Each(t, func(t *testing.T, driver, source string) {
		s := start(t, driver, source, "-c", mappedOrders(t, page.Find(t, blocks, "conf", "").Text()))
		sc := s.connect("client")
		message := page.Find(t, blocks, "json", "").Text()
		payload := orderEvent(t, message)
		publish(t, sc, "orders.new", payload)

		checkRow(t, driver, source, "message")

		// The assigned version is in the message type's own field, both live and when replayed.
		const versionField = 5
		stored := protowire.AppendVarint(protowire.AppendTag(payload, versionField, protowire.VarintType), 1)
		_, in := subscribe(t, sc, "orders.new", stan.DeliverAllAvailable())
		if got := in.next(t).Data; string(got) != string(stored) {
			t.Errorf("subscribers receive %x, want %x", got, stored)
		}

		// Publishing the event again succeeds, with or without its version. Another event with its event_id is refused.
		publish(t, sc, "orders.new", payload, stored)
		other := orderEvent(t, strings.Replace(message, "c-9", "c-8", 1))
		if err := sc.Publish("orders.new", other); err == nil || !strings.Contains(err.Error(), "019af976-0b76-7ca1-b0de-5e8516c087a1") {
			t.Errorf("other content with the same event_id: error %v", err)
		}

		// Expected versions are checked.
		second := `{"header": {"order_id": "order-17"}, "order_shipped": {"carrier": "post"}, "version": "`
		publish(t, sc, "orders.new", orderEvent(t, second+`2"}`))
		want := `stan: wrong expected version: aggregate "order-17" is at version 2, event has version 2`
		if err := sc.Publish("orders.new", orderEvent(t, second+`2"}`)); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}

		// A value without a JSON form is stored anyway.
		odd := orderEvent(t, `{"header": {"order_id": "order-18"}, "other": {"@type": "x/acme.orders.v1.Item", "sku": "a-1"}}`)
		odd = []byte(strings.Replace(string(odd), "acme.orders.v1.Item", "acme.orders.v2.Item", 1))
		publish(t, sc, "orders.new", odd)
		got := query(t, driver, source, "SELECT event_data FROM events WHERE aggregate_id = 'order-18'")
		if len(got) != 1 || !strings.HasPrefix(got[0], `"`) || strings.Contains(got[0], "sku") {
			t.Errorf("event_data %q", got)
		}

		for name, it := range map[string]struct {
			payload []byte
			want    string
		}{
			"nothing":      {nil, "stan: invalid event: aggregate_id is missing"},
			"no event":     {orderEvent(t, `{"header": {"order_id": "1"}}`), "stan: invalid event: event_type is missing"},
			"the envelope": {event(t, "A", "T"), "stan: invalid event: "},
			"text":         {[]byte("hello, world"), "stan: invalid event: not a valid acme.orders.v1.OrderEvent: field 13 is malformed at byte 3"},
			"deep":         {[]byte(strings.Repeat("\xa3\x38", 20_000)), "stan: invalid event: not a valid acme.orders.v1.OrderEvent: field 900 is malformed at byte 2"},
		} {
			if err := sc.Publish("orders.new", it.payload); err == nil || !strings.HasPrefix(err.Error(), it.want) {
				t.Errorf("%s: error %v, want %s", name, err, it.want)
			}
		}
		if got := query(t, driver, source, "SELECT COUNT(*) FROM events"); got[0] != "3" {
			t.Errorf("%s events are stored", got)
		}
	})
}

// TestWrongMapping: an invalid mapping stops the start with an error that names it.
func TestWrongMapping(t *testing.T) {
	t.Parallel()
	conf, err := os.ReadFile(mappedOrders(t, shownFor(t, "TestMappedMessages")))
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "wrong.conf", strings.Replace(string(conf), "header.order_id", "header.id", 1))
	out, status := runBinary(t, "-store", "MEMORY", "-c", file)
	if want := `events block of channels orders.>: aggregate_id: "header.id": acme.orders.v1.Header has no field "id"`; status == 0 || !strings.Contains(out, want) {
		t.Errorf("exit status %d, output %s", status, out)
	}
}
