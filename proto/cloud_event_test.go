package proto

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func newCloudMapping(t testing.TB, cfg MappingConfig) *Mapping {
	t.Helper()
	cfg.Format = FormatCloudEvents
	m, err := NewMapping(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// cloudMessage is io.cloudevents.v1.CloudEvent as the protobuf format of CloudEvents 1.0 specifies it. It is not registered:
// programs may link the type of a CloudEvents SDK.
func cloudMessage(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	var file descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(`
		name: "cloudevents.proto" package: "io.cloudevents.v1" syntax: "proto3"
		dependency: "google/protobuf/any.proto" dependency: "google/protobuf/timestamp.proto"
		message_type {
			name: "CloudEvent"
			field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "source" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "spec_version" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "type" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "attributes" number: 5 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".io.cloudevents.v1.CloudEvent.AttributesEntry" }
			field { name: "binary_data" number: 6 type: TYPE_BYTES label: LABEL_OPTIONAL oneof_index: 0 }
			field { name: "text_data" number: 7 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
			field { name: "proto_data" number: 8 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".google.protobuf.Any" oneof_index: 0 }
			oneof_decl { name: "data" }
			nested_type {
				name: "AttributesEntry" options { map_entry: true }
				field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
				field { name: "value" number: 2 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".io.cloudevents.v1.CloudEvent.CloudEventAttributeValue" }
			}
			nested_type {
				name: "CloudEventAttributeValue"
				field { name: "ce_boolean" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL oneof_index: 0 }
				field { name: "ce_integer" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL oneof_index: 0 }
				field { name: "ce_string" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
				field { name: "ce_bytes" number: 4 type: TYPE_BYTES label: LABEL_OPTIONAL oneof_index: 0 }
				field { name: "ce_uri" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
				field { name: "ce_uri_ref" number: 6 type: TYPE_STRING label: LABEL_OPTIONAL oneof_index: 0 }
				field { name: "ce_timestamp" number: 7 type: TYPE_MESSAGE label: LABEL_OPTIONAL type_name: ".google.protobuf.Timestamp" oneof_index: 0 }
				oneof_decl { name: "attr" }
			}
		}`), &file); err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(anypb.File_google_protobuf_any_proto), protodesc.ToFileDescriptorProto(timestamppb.File_google_protobuf_timestamp_proto), &file,
	}}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	d, err := files.FindDescriptorByName("io.cloudevents.v1.CloudEvent")
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.MessageDescriptor)
}

// cloudPayload encodes a CloudEvent given as text.
func cloudPayload(t testing.TB, text string) []byte {
	t.Helper()
	md := cloudMessage(t)
	msg := dynamicpb.NewMessage(md)
	if err := prototext.Unmarshal([]byte(text), msg); err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCloudEvents(t *testing.T) {
	t.Parallel()
	const required = `"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "OrderPlaced"`
	const fields = `spec_version: "1.0" id: "e-1" source: "/shop" type: "OrderPlaced" `
	attribute := func(name, value string) string { return `attributes { key: "` + name + `" value { ` + value + ` } } ` }
	tests := map[string]struct {
		json, text     string // the event in JSON, in protobuf, or both
		aggregate      string
		data, metadata string
		content        string
		occurred       string
	}{
		"least": {json: `{` + required + `}`, text: fields, aggregate: "/shop"},
		"all": {
			json: `{` + required + `, "subject": "o-1", "time": "2026-01-02T04:04:05+01:00", "datacontenttype": "application/json; charset=utf-8",
				"dataschema": "/s", "traceparent": "00-1", "attempt": 2, "test": true, "none": null, "data": {"a": [1]}}`,
			text: fields + attribute("subject", `ce_string: "o-1"`) + attribute("time", `ce_timestamp { seconds: 1767323045 }`) +
				attribute("datacontenttype", `ce_string: "application/json; charset=utf-8"`) + attribute("dataschema", `ce_uri: "/s"`) +
				attribute("traceparent", `ce_string: "00-1"`) + attribute("attempt", `ce_integer: 2`) + attribute("test", `ce_boolean: true`) + attribute("none", "") + `text_data: '{"a": [1]}'`,
			aggregate: "o-1", data: `{"a": [1]}`, metadata: `{"attempt":2,"test":true,"traceparent":"00-1"}`,
			content: "application/json; charset=utf-8", occurred: "2026-01-02T03:04:05Z",
		},
		"JSON without its type":   {json: `{` + required + `, "data": "text"}`, aggregate: "/shop", data: `"text"`, content: "application/json"},
		"null":                    {json: `{` + required + `, "data": null, "data_base64": null}`, aggregate: "/shop"},
		"text":                    {json: `{` + required + `, "datacontenttype": "text/xml", "data": "<a\n/>"}`, text: fields + attribute("datacontenttype", `ce_string: "text/xml"`) + `text_data: "<a\n/>"`, aggregate: "/shop", data: "<a\n/>", content: "text/xml"},
		"base64":                  {json: `{` + required + `, "data_base64": "/w=="}`, text: fields + `binary_data: "\xff"`, aggregate: "/shop", data: "\xff"},
		"JSON in base64":          {json: `{` + required + `, "datacontenttype": "application/json", "data_base64": "eyJhIjoxfQ=="}`, text: fields + attribute("datacontenttype", `ce_string: "application/json"`) + `binary_data: '{"a":1}'`, aggregate: "/shop", data: `{"a":1}`, content: "application/json"},
		"a message":               {text: fields + attribute("u", `ce_uri_ref: "a"`) + attribute("b", `ce_bytes: "\xff"`) + `proto_data { type_url: "type.googleapis.com/acme.None" value: "\x08\x01" }`, aggregate: "/shop", data: "\x08\x01", metadata: `{"b":"/w==","u":"a"}`},
		"a message of the set":    {text: fields + `proto_data { type_url: "type.googleapis.com/acme.orders.v1.Item" value: "\x0a\x03a-1" }`, aggregate: "/shop", data: `{"sku":"a-1"}`, content: "application/json"},
		"white space":             {json: "\n\n{" + required + "}\n", aggregate: "/shop"},
		"an ID like JSON's brace": {text: `spec_version: "1.0" id: "` + strings.Repeat("x", '{') + `" source: "/shop" type: "OrderPlaced"`, aggregate: "/shop"},
	}
	m := newCloudMapping(t, MappingConfig{DescriptorSet: acme})
	for name, tt := range tests {
		var payloads [][]byte
		if tt.json != "" {
			payloads = append(payloads, []byte(tt.json))
		}
		if tt.text != "" {
			payloads = append(payloads, cloudPayload(t, tt.text))
		}
		for i, payload := range payloads {
			ev, err := m.ExtractNew(payload)
			if err != nil {
				t.Errorf("%s %d: %v", name, i, err)
				continue
			}
			if len(ev.ID) != '{' && ev.ID != "e-1" || ev.Type != "OrderPlaced" || ev.AggregateType != "/shop" || ev.AggregateID != tt.aggregate || ev.Version != 0 {
				t.Errorf("%s %d: columns %+v", name, i, ev)
			}
			if string(ev.Data) != tt.data || string(ev.Metadata) != tt.metadata || ev.ContentType != tt.content && (i == 0 || tt.json == "") {
				t.Errorf("%s %d: event_data %q, metadata %s, content type %q, want %q, %s, %q", name, i, ev.Data, ev.Metadata, ev.ContentType, tt.data, tt.metadata, tt.content)
			}
			if occurred := ev.Occurred.AsTime().Format("2006-01-02T15:04:05Z"); tt.occurred != "" && occurred != tt.occurred {
				t.Errorf("%s %d: occurred_at %s", name, i, occurred)
			}
			if stored := m.AppendVersion(payload, 7); string(stored) != string(payload) {
				t.Errorf("%s %d: the payload became %q", name, i, stored)
			}
		}
	}
}

func TestCloudEventsRefused(t *testing.T) {
	t.Parallel()
	const required = `"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "OrderPlaced"`
	const fields = `spec_version: "1.0" id: "e-1" source: "/shop" type: "OrderPlaced" `
	const not = "invalid event: not a valid CloudEvent: "
	tests := map[string]struct{ payload, want string }{
		"nothing":                    {"", not + "it ends too early"},
		"text":                       {"hello", not + "it is not a JSON object, and as io.cloudevents.v1.CloudEvent malformed at byte 3"},
		"a batch":                    {"[{" + required + "}]", not + "it is a list: publish each event of a batch as a message of its own"},
		"byte order mark":            {"\ufeff{" + required + "}", not + "it begins with a byte order mark: encode it as UTF-8 without one"},
		"only data":                  {`{"order": 1}`, not + "specversion is missing: publish a single event, in the structured mode, with its attributes"},
		"an envelope":                {string(with()), not + `specversion is "order-1", not 1.0`},
		"version 0.3":                {strings.Replace("{"+required+"}", "1.0", "0.3", 1), not + `specversion is "0.3", not 1.0`},
		"no ID":                      {strings.Replace("{"+required+"}", `"id": "e-1"`, `"x": 1`, 1), not + "id is missing"},
		"empty source":               {strings.Replace("{"+required+"}", `/shop`, ``, 1), not + "source is missing"},
		"type is a number":           {strings.Replace("{"+required+"}", `"OrderPlaced"`, `1`, 1), not + "type is a number, not a text"},
		"both kinds of data":         {"{" + required + `, "data": 1, "data_base64": "YQ=="}`, not + "it has both data and data_base64"},
		"not base64":                 {"{" + required + `, "data_base64": "?"}`, not + "data_base64 is not base64"},
		"base64 is a number":         {"{" + required + `, "data_base64": 1}`, not + "data_base64 is a number, not a text"},
		"bad time":                   {"{" + required + `, "time": "now"}`, `invalid event: occurred_at is not an RFC 3339 timestamp, such as "2026-01-02T03:04:05Z"`},
		"attribute twice":            {"{" + required + `, "a": 1, "a": 2}`, not + `an object has two members "a"`},
		"long source":                {strings.Replace("{"+required+"}", `/shop`, strings.Repeat("x", 256), 1), "invalid event: aggregate_id is longer than 255 bytes"},
		"huge number":                {"{" + required + `, "a": 1e999}`, "invalid event: metadata has no JSON form that every database accepts: it is nested too deeply, or has a number beyond a double or a NUL"},
		"ID among the attributes":    {string(cloudPayload(t, fields+`attributes { key: "id" value { ce_string: "2" } }`)), not + "id is among the attributes, but has a field of its own"},
		"NUL in protobuf":            {string(cloudPayload(t, fields+`attributes { key: "a" value { ce_string: "\x00" } }`)), "invalid event: not a valid CloudEvent, in its JSON form: a text contains a NUL byte, at byte 75"},
		"Timestamp out of range":     {string(cloudPayload(t, fields+`attributes { key: "time" value { ce_timestamp { nanos: -1 } } }`)), not + "an attribute is not a valid Timestamp"},
		"bad UTF-8":                  {string(bytesField(1, "\xff")), "invalid event: id is not valid UTF-8"},
		"truncated":                  {string(cloudPayload(t, fields)[:9]), not + "it is not a JSON object, and as io.cloudevents.v1.CloudEvent malformed at byte 6"},
		"protobuf without a version": {string(cloudPayload(t, `id: "1" source: "s" type: "t"`)), not + "specversion is missing: publish a single event, in the structured mode, with its attributes"},
	}
	m := newCloudMapping(t, MappingConfig{})
	for name, tt := range tests {
		if _, err := m.ExtractNew([]byte(tt.payload)); err == nil || err.Error() != tt.want || !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: error %v, want %s", name, err, tt.want)
		}
		if m.SameEvent([]byte(tt.payload), []byte("{"+required+`, "another": 1}`)) {
			t.Errorf("%s: SameEvent is true for another event", name)
		}
	}
	many := cloudPayload(t, fields)
	for range MaxMetadata + 1 {
		many = append(many, bytesField(5, string(bytesField(1, "a")))...)
	}
	if _, err := m.ExtractNew(many); !errors.Is(err, ErrMetadataEntries) {
		t.Errorf("too many attributes: %v", err)
	}
	if _, err := m.Extract(many); err != nil {
		t.Errorf("stored with too many attributes: %v", err)
	}
}

func TestCloudEventSources(t *testing.T) {
	t.Parallel()
	const fields = `spec_version: "1.0" id: "e-1" source: "/shop" type: "placed" attributes { key: "tenant" value { ce_string: "t-1" } } text_data: '{"order": {"id": 17}, "meta": {"a": 1}}'`
	const doc = `{"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "placed", "tenant": "t-1", "data": {"order": {"id": 17}, "meta": {"a": 1}}}`
	m := newCloudMapping(t, MappingConfig{AggregateID: "$.data.order.id", AggregateType: "= Order", EventType: "$.tenant", EventVersion: "$.version", EventData: "$.data.order", Metadata: "$.data.meta"})
	for i, payload := range [][]byte{[]byte(doc), cloudPayload(t, fields)} {
		for _, version := range []uint64{7, 1 << 31} {
			ev, err := m.Extract(payload)
			if err != nil || ev.AggregateID != "17" || ev.AggregateType != "Order" || ev.Type != "t-1" || string(ev.Data) != `{"id": 17}` || string(ev.Metadata) != `{"a": 1}` {
				t.Errorf("%d: event %+v, error %v", i, ev, err)
			}
			stored, _ := m.Assign(payload, &ev, version)
			now, err := m.Extract(stored)
			if err != nil || now.Version != version || len(stored)-len(payload) > m.Growth() || !m.SameEvent(payload, stored) || !m.SameEvent(stored, payload) {
				t.Errorf("%d: event %+v, error %v, %d bytes more", i, now, err, len(stored)-len(payload))
			}
			if m.SameEvent(stored, m.AppendVersion(payload, version+1)) {
				t.Errorf("%d: SameEvent is true for another version", i)
			}
		}
	}
	// The extension with the version is not in the metadata.
	m = newCloudMapping(t, MappingConfig{EventVersion: "$.version"})
	for i, payload := range [][]byte{[]byte(doc), cloudPayload(t, fields)} {
		if ev, err := m.Extract(m.AppendVersion(payload, 7)); err != nil || ev.Version != 7 || string(ev.Metadata) != `{"tenant":"t-1"}` {
			t.Errorf("%d: event %+v %s, error %v", i, ev, ev.Metadata, err)
		}
	}
	for source, want := range map[string]string{
		"$.id":   `event_version: "$.id" is an attribute of every CloudEvent: name an extension, or a member of $.data`,
		"$.a[0]": `event_version: "$.a[0]": "[0]" is not a member`,
	} {
		if _, err := NewMapping(MappingConfig{Format: FormatCloudEvents, EventVersion: source}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("event_version %s: error %v", source, err)
		}
	}
}

// CloudEvents in protobuf agree with proto.Unmarshal.
func TestCloudEventsAgreeWithUnmarshal(t *testing.T) {
	t.Parallel()
	m, md := newCloudMapping(t, MappingConfig{}), cloudMessage(t)
	r := rand.New(rand.NewPCG(11, 12))
	accepted := 0
	const rounds = 10_000
	for range rounds {
		if agreeCloudEvent(t, m, md, randomCloudEvent(r, md)) {
			accepted++
		}
	}
	if accepted < rounds/10 || accepted > rounds*9/10 {
		t.Errorf("%d of %d payloads are events: too few of one kind to prove anything", accepted, rounds)
	}
}

func FuzzCloudEvent(f *testing.F) {
	m, md := newCloudMapping(f, MappingConfig{}), cloudMessage(f)
	r := rand.New(rand.NewPCG(13, 14))
	for range 200 {
		f.Add(randomCloudEvent(r, md))
		f.Add(randomObject(r, nil, []string{"specversion", "id", "source", "type", "data", "subject", "x"}, 3))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if !isDocument(payload) {
			agreeCloudEvent(t, m, md, payload)
			return
		}
		if _, err := m.Extract(payload); err != nil && (!strings.HasPrefix(err.Error(), "invalid event: ") || !utf8.ValidString(err.Error())) {
			t.Errorf("error %q", err)
		} else if err == nil && !m.SameEvent(payload, append([]byte(" "), payload...)) {
			t.Error("SameEvent is false for the event behind a space")
		}
	})
}

func randomCloudEvent(r *rand.Rand, md protoreflect.MessageDescriptor) []byte {
	var out []byte
	for num, text := range []string{1: "e-1", 2: "/s", 3: "1.0", 4: "T"} {
		if num > 0 && r.IntN(30) > 0 {
			out = append(out, bytesField(protowire.Number(num), text)...)
		}
	}
	if r.IntN(3) > 0 {
		content := []string{"application/json", "text/plain", "a/b+json"}[r.IntN(3)]
		out = append(out, bytesField(5, string(bytesField(1, "datacontenttype"))+string(bytesField(2, string(bytesField(3, content)))))...)
	}
	for range r.IntN(4) {
		out = append(out, randomWire(r, md, nil, 3)...)
	}
	for range r.IntN(2) {
		out = append(out, bytesField(protowire.Number(6+r.IntN(2)), string(randomJSON(r, nil, 2)))...)
	}
	return out
}

// unmarshalOrPanic reports whether a payload decodes. google.golang.org/protobuf 1.36 panics on a map entry whose key has the
// wrong wire type and follows another one.
func unmarshalOrPanic(payload []byte, msg *dynamicpb.Message) (decodes, panics bool) {
	defer func() { panics = recover() != nil }()
	return unmarshalOptions.Unmarshal(payload, msg) == nil, false
}

// agreeCloudEvent compares the result of Extract with a message that proto.Unmarshal built. It reports whether the payload is
// an event.
func agreeCloudEvent(t *testing.T, m *Mapping, md protoreflect.MessageDescriptor, payload []byte) bool {
	t.Helper()
	got, err := m.Extract(payload)
	msg := dynamicpb.NewMessage(md)
	decodes, panics := unmarshalOrPanic(payload, msg)
	if panics {
		return false
	}
	if err != nil {
		if !strings.HasPrefix(err.Error(), "invalid event: ") || !utf8.ValidString(err.Error()) {
			t.Errorf("error %q", err)
		}
		if decodes && strings.Contains(err.Error(), "malformed") {
			t.Fatalf("%x: error %v, but proto.Unmarshal accepts it", payload, err)
		}
		return false
	}
	if !decodes {
		t.Fatalf("%x: accepted, but proto.Unmarshal refuses it", payload)
	}
	field := func(name protoreflect.Name) protoreflect.Value { return msg.Get(md.Fields().ByName(name)) }
	if got.ID != field("id").String() || got.Type != field("type").String() || got.AggregateType != field("source").String() || field("spec_version").String() != "1.0" {
		t.Fatalf("%x: event %+v, message %v", payload, got, msg)
	}
	want := map[string]any{}
	field("attributes").Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		attr := value.Message()
		set := attr.WhichOneof(attr.Descriptor().Oneofs().Get(0))
		switch {
		case set == nil:
		case set.Name() == "ce_boolean":
			want[key.String()] = attr.Get(set).Bool()
		case set.Name() == "ce_integer":
			want[key.String()] = float64(attr.Get(set).Int())
		case set.Name() == "ce_bytes":
			want[key.String()] = base64.StdEncoding.EncodeToString(attr.Get(set).Bytes())
		case set.Name() == "ce_timestamp":
			at := attr.Get(set).Message()
			fields := at.Descriptor().Fields()
			want[key.String()] = (&timestamppb.Timestamp{Seconds: at.Get(fields.ByNumber(1)).Int(), Nanos: int32(at.Get(fields.ByNumber(2)).Int())}).AsTime().Format("2006-01-02T15:04:05.999999999Z07:00")
		default:
			want[key.String()] = attr.Get(set).String()
		}
		return true
	})
	content, _ := want["datacontenttype"].(string)
	for _, name := range []string{"subject", "time", "datacontenttype", "dataschema"} {
		delete(want, name)
	}
	metadata := map[string]any{}
	if got.Metadata != nil && json.Unmarshal(got.Metadata, &metadata) != nil || !reflect.DeepEqual(metadata, want) {
		t.Fatalf("%x: metadata %s, want %v", payload, got.Metadata, want)
	}
	var data []byte
	switch set := msg.WhichOneof(md.Oneofs().ByName("data")); {
	case set == nil:
	case set.Name() == "binary_data":
		data = msg.Get(set).Bytes()
	case set.Name() == "text_data":
		data = []byte(msg.Get(set).String())
	default:
		data = msg.Get(set).Message().Get(set.Message().Fields().ByNumber(2)).Bytes()
	}
	trimmed := strings.Trim(string(data), " \t\r\n")
	if string(got.Data) != string(data) && (string(got.Data) != trimmed && trimmed != "null" || content != "" && !isJSONType(content)) {
		t.Fatalf("%x: event_data %q, want %q", payload, got.Data, data)
	}
	if !m.SameEvent(payload, append(bytesField(900, "unknown"), payload...)) {
		t.Fatalf("%x is not the same event as with an unknown field", payload)
	}
	return true
}
