package proto

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

func TestDecoder(t *testing.T) {
	t.Parallel()
	d, err := NewDecoder(acme)
	if err != nil {
		t.Fatal(err)
	}
	leaf := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "n")
	for _, it := range []struct{ contentType, eventType, want string }{
		{"", "acme.orders.v1.Leaf", "acme.orders.v1.Leaf"},
		{"", "Leaf", "acme.orders.v1.Leaf"},
		{`application/protobuf; messageType="acme.orders.v1.Leaf"`, "OrderPlaced", "acme.orders.v1.Leaf"},
		{"application/x-protobuf; proto=.acme.orders.v1.Leaf", "x", "acme.orders.v1.Leaf"},
		{"application/protobuf; messageType=acme.None", "None", ""},
		{"application/protobuf; messageType=acme.None", "Leaf", "acme.orders.v1.Leaf"},
		{"; ;", "", ""},
	} {
		if got := d.TypeOf(it.contentType, it.eventType); got != it.want {
			t.Errorf("the type of %q, %q is %q, want %q", it.contentType, it.eventType, got, it.want)
		}
	}
	if doc, ok := d.JSON("acme.orders.v1.Leaf", leaf); !ok || string(doc) != `{"name":"n"}` {
		t.Errorf("%s, %v", doc, ok)
	}
	deep := leaf
	for range 200 { // a message in a message
		deep = protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), deep)
	}
	lacks := protowire.AppendVarint(protowire.AppendTag(leaf[:len(leaf):len(leaf)], 99, protowire.VarintType), 1)
	inAny := func(content []byte) []byte { // an Everything with a Leaf in an Any
		other := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "type.googleapis.com/acme.orders.v1.Leaf")
		other = protowire.AppendBytes(protowire.AppendTag(other, 2, protowire.BytesType), content)
		return protowire.AppendBytes(protowire.AppendTag(nil, 35, protowire.BytesType), other)
	}
	if doc, ok := d.JSON("acme.orders.v1.Everything", inAny(leaf)); !ok || !strings.Contains(string(doc), `"name":"n"`) {
		t.Errorf("an Any is %s, %v", doc, ok)
	}
	if doc, ok := d.JSON("acme.orders.v1.Everything", inAny(lacks)); ok {
		t.Errorf("an Any with a field that its type lacks is %s", doc)
	}
	for name, content := range map[string][]byte{
		"a field that the type lacks": lacks,
		"cut short":                   leaf[:2],
		"not UTF-8":                   {0x0a, 1, 0xff},
		"deep":                        deep,
		"text":                        []byte(strings.Repeat("x", 100)),
	} {
		if doc, ok := d.JSON("acme.orders.v1.Leaf", content); ok {
			t.Errorf("%s: %s", name, doc)
		}
	}
	if _, err := NewDecoder("testdata/none.binpb"); err == nil || !strings.Contains(err.Error(), "none.binpb") {
		t.Error(err)
	}
	if doc, ok := (*Decoder)(nil).JSON("Leaf", leaf); ok {
		t.Errorf("no types: %s", doc)
	}
}
