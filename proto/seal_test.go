package proto

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// reversed stands for a cipher: the tests of package keys use real ones.
func reversed(subject, path string, clear []byte) (Sealed, error) {
	return Sealed{Key: "k-" + subject + ".1", Ciphertext: reverse(append([]byte(path+"|"), clear...))}, nil
}

func reverse(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[len(b)-1-i] = b[i]
	}
	return out
}

func unreversed(path string, s Sealed) ([]byte, bool) {
	return bytes.CutPrefix(reverse(s.Ciphertext), []byte(path+"|"))
}

func newSeals(t *testing.T, of MappingConfig, entries ...SealConfig) *Seals {
	t.Helper()
	s, err := NewSeals(of, entries)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var jsonMapping = MappingConfig{Format: FormatJSON, AggregateID: "$.id", EventType: "$.type", EventData: "$"}

// A payload is as it was after it was encrypted and decrypted, and nothing of the values is left in between.
func TestSealJSON(t *testing.T) {
	seals := newSeals(t, jsonMapping,
		SealConfig{Subject: "$.customer.id", Fields: []string{"$.customer.name", "$.contacts.email", "$['odd.name']"}},
		SealConfig{Subject: "$.seller", Fields: []string{"$.sellerPhone"}})
	payload := []byte(`{ "id":1, "type" : "T","customer":{"name" : "Ann \"A\" Smith","id":42,"n\u0061me":"again"},
		"contacts":[{"email":"a@b.example"},{"email":["x@y.example"]},{"other":true}],"odd.name":{"deep":[1,2]},"seller":"s","sellerPhone":123,
		"customers":{"name":"kept"},"nothing":null}`)
	found, err := seals.Find(payload)
	if err != nil || found == nil {
		t.Fatal(found, err)
	}
	if got := strings.Join(found.Subjects(), " "); got != "42 s" {
		t.Errorf("subjects %s", got)
	}
	sealed, err := found.Seal(reversed)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(sealed) {
		t.Fatalf("not JSON: %s", sealed)
	}
	for _, secret := range []string{"Ann", "again", "a@b", "x@y", "deep", "123"} {
		if bytes.Contains(sealed, []byte(secret)) {
			t.Errorf("%q is left in %s", secret, sealed)
		}
	}
	if !bytes.Contains(sealed, []byte(`"customers":{"name":"kept"}`)) || !bytes.Contains(sealed, []byte(`"nothing":null`)) {
		t.Errorf("what is not to be encrypted changed: %s", sealed)
	}
	again := seals.Sealed(sealed)
	if again == nil || strings.Join(again.Keys(), " ") != "k-42.1 k-s.1" {
		t.Fatalf("found %v", again)
	}
	if opened, n := again.Open(unreversed); !bytes.Equal(opened, payload) || n != 6 {
		t.Errorf("%d values decrypted: %s", n, opened)
	}
	partly, n := again.Open(func(path string, s Sealed) ([]byte, bool) {
		clear, ok := unreversed(path, s)
		return clear, ok && strings.HasPrefix(s.Key, "k-s")
	})
	if n != 1 || !bytes.Contains(partly, []byte(`"sellerPhone":123`)) || bytes.Contains(partly, []byte("Ann")) {
		t.Errorf("with one key: %s", partly)
	}
	// A configuration without the fields still finds what is encrypted.
	if other := newSeals(t, jsonMapping, SealConfig{Subject: "$.x", Fields: []string{"$.y"}}).Sealed(sealed); other == nil || len(other.Keys()) != 2 {
		t.Error("another configuration finds nothing")
	}
}

func TestSealRefuses(t *testing.T) {
	seals := newSeals(t, jsonMapping, SealConfig{Subject: "$.who", Fields: []string{"$.name"}})
	for payload, want := range map[string]string{
		`{"name":"Ann"}`:                                   "$.name cannot be encrypted: $.who, which says whose it is, is absent",
		`{"name":"Ann","who":null}`:                        "$.name cannot be encrypted",
		`{"name":"Ann","who":""}`:                          "$.name cannot be encrypted",
		`{"name":"Ann","who":[1]}`:                         "$.who must be a text or an integer",
		`{"name":"Ann","who":1,"who":2}`:                   "$.who has several values",
		`{"name":{"$sealed":"QQ=="},"who":1}`:              "$.name is encrypted already",
		`{"name":[{"$sealed":"QQ==","key":"k"}],"who":1}`:  "$.name is encrypted already",
		`{"name":"Ann","who":1`:                            "payload is not JSON",
		`{"other":[{"$sealed":"QQ==","key":"k"}],"who":1}`: "payload is encrypted already",
		`{"name":"\u0000","who":1}`:                        "payload is not JSON",
	} {
		found, err := seals.Find([]byte(payload))
		if found != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", payload, err, want)
		}
	}
	for _, payload := range []string{`{}`, `{"name":null}`, `{"other":"Ann"}`, `{"list":[{"name":"Ann"}]}`, `{"a":"{\"$sealed\":\"QQ==\"}"}`} {
		if found, err := seals.Find([]byte(payload)); found != nil || err != nil {
			t.Errorf("%s: %v %v", payload, found, err)
		}
	}
	if found, err := seals.Find([]byte(`{"name":"\"$sealed\" $sealed: by Ann","who":1}`)); found == nil || err != nil {
		t.Errorf("a text about encryption: %v", err)
	}
	// What looks encrypted only nearly is left alone.
	for _, payload := range []string{
		`{"a":{"$sealed":"QQ==","key":"k","more":1}}`, `{"a":{"key":"k","$sealed":"QQ=="}}`, `{"a":{"$sealed":"!","key":"k"}}`,
		`{"a":{"$sealed":"QQ==","key":"k k"}}`, `{"a":"{\"$sealed\":\"QQ==\",\"key\":\"k\"}"}`,
	} {
		if found := seals.Sealed([]byte(payload)); found != nil {
			t.Errorf("%s counts as encrypted", payload)
		}
	}
}

// In eventstore.v1.Event, the fields are in event_data. No earlier occurrence of it is left.
func TestSealEnvelope(t *testing.T) {
	seals := newSeals(t, MappingConfig{}, SealConfig{Subject: "$.who", Fields: []string{"$.name"}})
	event := &eventstorev1.Event{EventId: "1", EventType: "T", AggregateId: "A", EventData: []byte(`{"who":"c","name":"Ann"}`), Metadata: map[string]string{"k": "v"}}
	payload, err := proto.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := proto.Marshal(&eventstorev1.Event{EventData: []byte(`{"who":"c","name":"Bob"}`)})
	if err != nil {
		t.Fatal(err)
	}
	found, err := seals.Find(append(twice, payload...))
	if err != nil || found == nil {
		t.Fatal(found, err)
	}
	sealed, err := found.Seal(reversed)
	if err != nil || bytes.Contains(sealed, []byte("Ann")) || bytes.Contains(sealed, []byte("Bob")) {
		t.Fatalf("%q: %v", sealed, err)
	}
	opened, _ := seals.Sealed(sealed).Open(unreversed)
	if !SameEvent(opened, payload) {
		t.Errorf("%q is not %q", opened, payload)
	}
	for data, want := range map[string]string{"\x08\x01": "event_data is not", `["name"]`: "event_data is not a JSON object", `{"name":`: "event_data is not JSON"} {
		payload, err := proto.Marshal(&eventstorev1.Event{EventType: "T", AggregateId: "A", EventData: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seals.Find(payload); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", data, err, want)
		}
	}
	empty, err := proto.Marshal(&eventstorev1.Event{EventType: "T", AggregateId: "A"})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := seals.Find(empty); found != nil || err != nil {
		t.Error(found, err)
	}
}

func TestSealProtobuf(t *testing.T) {
	text := descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	field := func(name string, number int32, kind *descriptorpb.FieldDescriptorProto_Type, repeated bool, of string) *descriptorpb.FieldDescriptorProto {
		label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
		if repeated {
			label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		f := &descriptorpb.FieldDescriptorProto{Name: proto.String(name), Number: proto.Int32(number), Type: kind, Label: label}
		if of != "" {
			f.TypeName = proto.String(of)
		}
		return f
	}
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("shop.proto"), Package: proto.String("shop"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("Contact"), Field: []*descriptorpb.FieldDescriptorProto{
				field("email", 1, text, false, ""), field("kind", 2, text, false, ""),
			}},
			{Name: proto.String("Order"), Field: []*descriptorpb.FieldDescriptorProto{
				field("id", 1, text, false, ""),
				field("customer", 2, descriptorpb.FieldDescriptorProto_TYPE_SINT64.Enum(), false, ""),
				field("contacts", 3, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), true, ".shop.Contact"),
				field("photo", 4, descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum(), false, ""),
				field("names", 5, text, true, ""),
			}},
		},
	}
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "shop.pb")
	if err := os.WriteFile(name, set, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := protodesc.NewFile(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	order := dynamicpb.NewMessage(fd.Messages().ByName("Order"))
	fields, contacts := order.Descriptor().Fields(), order.Mutable(order.Descriptor().Fields().ByName("contacts")).List()
	for _, email := range []string{"a@b.example", "", "c@d.example"} {
		c := contacts.AppendMutable().Message()
		c.Set(c.Descriptor().Fields().ByName("email"), stringValue(email))
		c.Set(c.Descriptor().Fields().ByName("kind"), stringValue("kept"))
	}
	order.Set(fields.ByName("id"), stringValue("o-1"))
	order.Set(fields.ByName("customer"), int64Value(-7))
	order.Set(fields.ByName("photo"), bytesValue([]byte{0xff, 0, 1}))
	names := order.Mutable(fields.ByName("names")).List()
	names.Append(stringValue("Ann"))
	names.Append(stringValue("Annie"))
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	mapping := MappingConfig{DescriptorSet: name, Message: "shop.Order", AggregateID: "id", EventType: "= Order"}
	seals := newSeals(t, mapping, SealConfig{Subject: "customer", Fields: []string{"contacts.email", "photo", "names"}})
	found, err := seals.Find(payload)
	if err != nil || found == nil || strings.Join(found.Subjects(), " ") != "-7" {
		t.Fatal(found, err)
	}
	sealed, err := found.Seal(reversed)
	if err != nil || bytes.Contains(sealed, []byte("Ann")) || bytes.Contains(sealed, []byte("@")) || !bytes.Contains(sealed, []byte("kept")) {
		t.Fatalf("%q: %v", sealed, err)
	}
	if err := proto.Unmarshal(sealed, dynamicpb.NewMessage(order.Descriptor())); err != nil {
		t.Errorf("what is stored does not decode: %v", err)
	}
	if opened, n := seals.Sealed(sealed).Open(unreversed); !bytes.Equal(opened, payload) || n != 5 {
		t.Errorf("%d values decrypted: %q, want %q", n, opened, payload)
	}
	if _, err := seals.Find(sealed); err == nil || !strings.Contains(err.Error(), "is encrypted already") {
		t.Errorf("published as it was read: %v", err)
	}
	for entry, want := range map[*SealConfig]string{
		{Subject: "customer", Fields: []string{"customer"}}:      "must be a string or bytes",
		{Subject: "customer", Fields: []string{"id"}}:            "is the aggregate_id, too",
		{Subject: "customer", Fields: []string{"missing"}}:       `has no field "missing"`,
		{Subject: "names", Fields: []string{"photo"}}:            "must be a single value",
		{Subject: "photo", Fields: []string{"names"}}:            "must be a string or an integer",
		{Subject: "id", Fields: []string{"photo", "photo"}}:      "encrypted twice",
		{Subject: "customer", Fields: []string{"contacts"}}:      "must be a string or bytes",
		{Subject: "customer", Fields: []string{"contacts.kind"}}: "",
	} {
		_, err := NewSeals(mapping, []SealConfig{*entry})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", entry, err, want)
		}
	}
}

// What a column shows cannot be encrypted.
func TestSealColumns(t *testing.T) {
	mapping := jsonMapping
	mapping.Tags = []string{"customer:{$.customer.id}"}
	cloud := MappingConfig{Format: FormatCloudEvents}
	for _, it := range []struct {
		of    MappingConfig
		entry SealConfig
		want  string
	}{
		{mapping, SealConfig{"$.who", []string{"$.id"}}, "is the aggregate_id, too"},
		{mapping, SealConfig{"$.who", []string{"$.customer"}}, "is the tag $.customer.id, too"},
		{mapping, SealConfig{"$.who", []string{"$.customer.id.more"}}, "is the tag $.customer.id, too"},
		{mapping, SealConfig{"$.who", []string{"$"}}, "must be a member"},
		{mapping, SealConfig{"$.who", []string{"$.who"}}, "must stay readable"},
		{mapping, SealConfig{"$.who.id", []string{"$.who"}}, "must stay readable"},
		{mapping, SealConfig{"$.who", []string{"$.a", "$.a.b"}}, "is inside another one"},
		{mapping, SealConfig{"$.who", []string{"$.a", "$.a"}}, "encrypted twice"},
		{mapping, SealConfig{"", []string{"$.a"}}, "has no subject"},
		{mapping, SealConfig{"$.who", nil}, "has no fields"},
		{mapping, SealConfig{"$.who", []string{"name"}}, "must begin with $."},
		{cloud, SealConfig{"$.data.who", []string{"$.subject"}}, "is the attribute subject, too"},
		{cloud, SealConfig{"$.data.who", []string{"$.data.name"}}, ""},
		{mapping, SealConfig{"$.id", []string{"$.name"}}, ""},
	} {
		_, err := NewSeals(it.of, []SealConfig{it.entry})
		if (err == nil) != (it.want == "") || err != nil && !strings.Contains(err.Error(), it.want) {
			t.Errorf("%+v: %v, want %s", it.entry, err, it.want)
		}
	}
	seals := newSeals(t, cloud, SealConfig{"$.data.who", []string{"$.data.name"}})
	if _, err := seals.Find([]byte("\x0a\x011\x12\x03src\x1a\x031.0\x22\x01T")); err == nil || !strings.Contains(err.Error(), "publish it in JSON") {
		t.Errorf("CloudEvent in protobuf: %v", err)
	}
	if _, err := seals.Find([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"T","data_base64":"e30="}`)); err == nil || !strings.Contains(err.Error(), "data_base64") {
		t.Errorf("CloudEvent in base64: %v", err)
	}
}

func stringValue(s string) protoreflect.Value { return protoreflect.ValueOfString(s) }
func int64Value(n int64) protoreflect.Value   { return protoreflect.ValueOfInt64(n) }
func bytesValue(b []byte) protoreflect.Value  { return protoreflect.ValueOfBytes(b) }
