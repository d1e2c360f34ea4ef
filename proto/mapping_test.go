package proto

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// acme is the descriptor set of the .proto files in testdata/acme; make generate creates it.
const acme = "testdata/acme.binpb"

// messageMapping is a mapping of messages with its parts.
type messageMapping struct {
	*Mapping
	*messages
}

func newMapping(t testing.TB, cfg MappingConfig) messageMapping {
	t.Helper()
	m, err := NewMapping(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return messageMapping{m, m.format.(*messages)}
}

// encode converts JSON to an encoded message of the mapping's type.
func encode(t testing.TB, m messageMapping, json string) []byte {
	t.Helper()
	msg := dynamicpb.NewMessage(m.message)
	if err := (protojson.UnmarshalOptions{Resolver: m.types, AllowPartial: true}).Unmarshal([]byte(json), msg); err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true, AllowPartial: true}.Marshal(msg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// orders maps acme.orders.v1.OrderEvent as docs/reference/events.md shows.
func orders(t testing.TB) messageMapping {
	return newMapping(t, MappingConfig{
		DescriptorSet: acme, Message: "acme.orders.v1.OrderEvent",
		AggregateID: "header.order_id", AggregateType: "= Order", EventType: "oneof_type:event",
		EventVersion: "version", EventID: "header.event_id", EventData: "oneof:event", Metadata: "metadata",
	})
}

func TestMappingExtract(t *testing.T) {
	t.Parallel()
	m := orders(t)
	ev, err := m.Extract(encode(t, m, `{
		"header": {"order_id": "order-17", "event_id": "Xwwfh4pXShyaCy88fQ6bEQ=="},
		"order_placed": {"customer_id": "c-9", "items": [{"sku": "a-1", "quantity": 2}], "placed_at": "2026-01-02T03:04:05Z", "total": 12.5},
		"version": 3,
		"metadata": {"user": "ann", "correlation_id": "c-1"}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	document := string(ev.Document(31))
	ev.Data, ev.binary = nil, nil
	metadata := string(ev.Metadata)
	ev.Metadata = nil
	want := Event{ID: "5f0c1f87-8a57-4a1c-9a0b-2f3c7d0e9b11", Type: "OrderPlaced", AggregateID: "order-17", AggregateType: "Order", Version: 3}
	if ev.ID != want.ID || ev.Type != want.Type || ev.AggregateID != want.AggregateID || ev.AggregateType != want.AggregateType || ev.Version != want.Version {
		t.Errorf("columns %+v, want %+v", ev, want)
	}
	if want := `{"customer_id":"c-9","items":[{"sku":"a-1","quantity":"2"}],"placed_at":"2026-01-02T03:04:05Z","total":12.5}`; document != want {
		t.Errorf("event_data %s, want %s", document, want)
	}
	if want := `{"correlation_id":"c-1","user":"ann"}`; metadata != want {
		t.Errorf("metadata %s, want %s", metadata, want)
	}
}

func TestNilMappingReadsTheEnvelope(t *testing.T) {
	t.Parallel()
	var m *Mapping
	payload := required()
	if ev, err := m.Extract(payload); err != nil || ev.AggregateID != "order-1" {
		t.Errorf("event %+v, error %v", ev, err)
	}
	if got := m.AppendVersion(payload, 4); !bytes.Equal(got, AppendVersion(payload, 4)) {
		t.Errorf("appended %x", got)
	}
	if !m.SameEvent(payload, AppendVersion(payload, 4)) || m.SameEvent(payload, with(bytesField(1, "x"))) {
		t.Error("SameEvent differs from the function SameEvent")
	}
}

func TestMappingErrors(t *testing.T) {
	t.Parallel()
	valid := MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventType: "$message"}
	tests := map[string]struct {
		change func(*MappingConfig)
		want   string // prefix of the error; empty for no error
	}{
		"valid":                     {func(*MappingConfig) {}, ""},
		"no set":                    {func(c *MappingConfig) { c.DescriptorSet = "" }, "descriptor_set is missing"},
		"absent set":                {func(c *MappingConfig) { c.DescriptorSet = "testdata/none" }, "descriptor_set: open testdata/none: "},
		"no descriptor set":         {func(c *MappingConfig) { c.DescriptorSet = "mapping.go" }, `descriptor_set: "mapping.go" is not a google.protobuf.FileDescriptorSet`},
		"no message":                {func(c *MappingConfig) { c.Message = "" }, "message is missing"},
		"unknown message":           {func(c *MappingConfig) { c.Message = "acme.None" }, `message: "acme.None" is not a message type in "testdata/acme.binpb"`},
		"an enum":                   {func(c *MappingConfig) { c.Message = "acme.orders.v1.Kind" }, `message: "acme.orders.v1.Kind" is not a message type`},
		"a map entry":               {func(c *MappingConfig) { c.Message += ".WordsEntry" }, "message: "},
		"no aggregate":              {func(c *MappingConfig) { c.AggregateID = " " }, "aggregate_id is missing"},
		"no type":                   {func(c *MappingConfig) { c.EventType = "" }, "event_type is missing"},
		"unknown field":             {func(c *MappingConfig) { c.AggregateID = "id" }, `aggregate_id: "id": acme.orders.v1.Everything has no field "id"`},
		"unknown nested field":      {func(c *MappingConfig) { c.EventID = "child.leaf.id" }, `event_id: "child.leaf.id": acme.orders.v1.Leaf has no field "id"`},
		"JSON name":                 {func(c *MappingConfig) { c.EventID = "choiceText" }, `event_id: "choiceText": acme.orders.v1.Everything has no field "choiceText"`},
		"empty element":             {func(c *MappingConfig) { c.EventID = "child." }, `event_id: "child.": acme.orders.v1.Everything has no field ""`},
		"field of a scalar":         {func(c *MappingConfig) { c.EventID = "s.id" }, `event_id: "s.id": acme.orders.v1.Everything.s is not a message: it has no field "id"`},
		"field of a list":           {func(c *MappingConfig) { c.EventID = "children.s" }, `event_id: "children.s": acme.orders.v1.Everything.children is repeated`},
		"field of a map":            {func(c *MappingConfig) { c.EventID = "words.key" }, `event_id: "words.key": acme.orders.v1.Everything.words is repeated`},
		"list":                      {func(c *MappingConfig) { c.AggregateID = "strings" }, `aggregate_id: "strings": acme.orders.v1.Everything.strings is repeated`},
		"message as identifier":     {func(c *MappingConfig) { c.AggregateID = "any" }, `aggregate_id: "any": acme.orders.v1.Everything.any is of type google.protobuf.Any: name one of its fields`},
		"float as identifier":       {func(c *MappingConfig) { c.AggregateID = "d" }, `aggregate_id: "d": acme.orders.v1.Everything.d is of type double: it must be`},
		"bool as identifier":        {func(c *MappingConfig) { c.EventType = "flag" }, `event_type: "flag": acme.orders.v1.Everything.flag is of type bool: it must be`},
		"aggregate from a oneof":    {func(c *MappingConfig) { c.AggregateID = "oneof:choice" }, `aggregate_id: "oneof:choice": must be a field or a text`},
		"constant event_id":         {func(c *MappingConfig) { c.EventID = "= 1" }, `event_id: "= 1": must be a field`},
		"empty constant":            {func(c *MappingConfig) { c.EventType = "=" }, `event_type: "=": the text after = is missing`},
		"NUL in constant":           {func(c *MappingConfig) { c.EventType = "= a\x00" }, `event_type: "= a\x00": the text must be valid UTF-8`},
		"long constant":             {func(c *MappingConfig) { c.EventType = "=" + strings.Repeat("x", 256) }, `event_type: "=xxx`},
		"unknown prefix":            {func(c *MappingConfig) { c.EventType = "one_of:choice" }, `event_type: "one_of:choice": prefix "one_of" must be oneof or oneof_type`},
		"unknown oneof":             {func(c *MappingConfig) { c.EventType = "oneof:s" }, `event_type: "oneof:s": acme.orders.v1.Everything has no oneof "s"`},
		"oneof of optional":         {func(c *MappingConfig) { c.EventType = "oneof:_os" }, `event_type: "oneof:_os": acme.orders.v1.Everything has no oneof "_os"`},
		"type of a scalar":          {func(c *MappingConfig) { c.EventType = "oneof_type:choice" }, `event_type: "oneof_type:choice": acme.orders.v1.Everything.choice_text is not a message`},
		"string as version":         {func(c *MappingConfig) { c.EventVersion = "s" }, `event_version: "s": acme.orders.v1.Everything.s is of type string: it must be an integer`},
		"enum as version":           {func(c *MappingConfig) { c.EventVersion = "color" }, `event_version: "color": acme.orders.v1.Everything.color is of type enum: it must be an integer`},
		"constant version":          {func(c *MappingConfig) { c.EventVersion = "= 1" }, `event_version: "= 1": must be a field`},
		"number as data":            {func(c *MappingConfig) { c.EventData = "i64" }, `event_data: "i64": acme.orders.v1.Everything.i64 is of type int64: it must be a message, bytes or a string`},
		"oneof with number, data":   {func(c *MappingConfig) { c.EventData = "oneof:choice" }, `event_data: "oneof:choice": acme.orders.v1.Everything.choice_number is of type uint64`},
		"constant data":             {func(c *MappingConfig) { c.EventData = "= {}" }, `event_data: "= {}": must be $message, a field or a oneof`},
		"string as metadata":        {func(c *MappingConfig) { c.Metadata = "s" }, `metadata: "s": acme.orders.v1.Everything.s is of type string: it must be a message or a map of scalars`},
		"map of messages":           {func(c *MappingConfig) { c.Metadata = "by_name" }, `metadata: "by_name": acme.orders.v1.Everything.by_name is a map of messages`},
		"metadata is not an object": {func(c *MappingConfig) { c.Metadata = "value" }, `metadata: "value": acme.orders.v1.Everything.value is of type google.protobuf.Value`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := valid
			tt.change(&cfg)
			_, err := NewMapping(cfg)
			if tt.want == "" && err == nil {
				return
			}
			if err == nil || tt.want == "" || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// writeSet writes a descriptor set with the files of acme for which keep returns true. keep may modify them.
func writeSet(t *testing.T, keep func(*descriptorpb.FileDescriptorProto) bool) string {
	t.Helper()
	content, err := os.ReadFile(acme)
	if err != nil {
		t.Fatal(err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(content, &set); err != nil {
		t.Fatal(err)
	}
	set.File = slices.DeleteFunc(set.File, func(fd *descriptorpb.FileDescriptorProto) bool { return !keep(fd) })
	if content, err = proto.Marshal(&set); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "set.binpb")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDescriptorSetErrors(t *testing.T) {
	t.Parallel()
	cfg := MappingConfig{Message: "acme.orders.v1.OrderEvent", AggregateID: "header.order_id", EventType: "$message"}
	cfg.DescriptorSet = writeSet(t, func(fd *descriptorpb.FileDescriptorProto) bool { return !strings.HasSuffix(fd.GetName(), "any.proto") })
	if _, err := NewMapping(cfg); err == nil || !strings.Contains(err.Error(), "but not its import google/protobuf/any.proto") {
		t.Errorf("without an import: error %v", err)
	}
	cfg.DescriptorSet = writeSet(t, func(fd *descriptorpb.FileDescriptorProto) bool {
		if strings.HasSuffix(fd.GetName(), "timestamp.proto") {
			fd.MessageType[0].Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
		}
		return true
	})
	if _, err := NewMapping(cfg); err == nil || !strings.Contains(err.Error(), "google.protobuf.Timestamp does not have the fields of the well-known type") {
		t.Errorf("with another Timestamp: error %v", err)
	}
	for name, change := range map[string]func(*descriptorpb.DescriptorProto){
		"a list of entries": func(md *descriptorpb.DescriptorProto) { md.NestedType[0].Options = nil },
		"other entries": func(md *descriptorpb.DescriptorProto) {
			md.NestedType[0].Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum()
		},
		"another oneof": func(md *descriptorpb.DescriptorProto) {
			if len(md.OneofDecl) > 0 {
				md.OneofDecl[0].Name = proto.String("other")
			}
		},
	} {
		set := writeSet(t, func(fd *descriptorpb.FileDescriptorProto) bool {
			for _, md := range fd.GetMessageType() {
				if fd.GetName() == "google/protobuf/struct.proto" && (md.GetName() == "Struct") == (name != "another oneof") && md.GetName() != "ListValue" {
					change(md)
				}
			}
			return true
		})
		if _, err := NewDecoder(set); err == nil || !strings.Contains(err.Error(), "does not have the fields of the well-known type") {
			t.Errorf("with %s: error %v", name, err)
		}
	}
	cfg.DescriptorSet = writeSet(t, func(fd *descriptorpb.FileDescriptorProto) bool {
		if strings.HasSuffix(fd.GetName(), "orders.proto") {
			fd.MessageType[0].Field[0].TypeName = proto.String(".acme.None")
		}
		return true
	})
	if _, err := NewMapping(cfg); err == nil || !strings.HasPrefix(err.Error(), "descriptor_set: ") {
		t.Errorf("with an unknown type: error %v", err)
	}
}

func TestMappingTextForms(t *testing.T) {
	t.Parallel()
	tests := []struct{ field, json, want string }{
		{"s", `"Zoë"`, "Zoë"},
		{"b", `"AAECAwQFBgcICQoLDA0ODw=="`, "00010203-0405-0607-0809-0a0b0c0d0e0f"},
		{"b", `"/wCr"`, "ff00ab"},
		{"i32", `-7`, "-7"},
		{"s32", `-2147483648`, "-2147483648"},
		{"sf32", `-1`, "-1"},
		{"u32", `4294967295`, "4294967295"},
		{"f32", `4294967295`, "4294967295"},
		{"i64", `"-9223372036854775808"`, "-9223372036854775808"},
		{"s64", `"-3"`, "-3"},
		{"sf64", `"-4"`, "-4"},
		{"u64", `"18446744073709551615"`, "18446744073709551615"},
		{"f64", `"18446744073709551615"`, "18446744073709551615"},
		{"color", `"RED"`, "RED"},
		{"color", `-2`, "GREEN"},
		{"color", `17`, "17"},
		{"color", `"BLUE"`, "BLUE"}, // the zero value, which is not on the wire
		{"oi", `"0"`, "0"},          // has presence
		{"oi", `null`, ""},
		{"i64", `"0"`, ""}, // has no presence
		{"s", `""`, ""},
		{"b", `""`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.field+" "+tt.json, func(t *testing.T) {
			m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: tt.field, EventType: "$message"})
			ev, err := m.Extract(encode(t, m, `{"`+tt.field+`": `+tt.json+`}`))
			if ev.AggregateID != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("aggregate_id %q, error %v, want %q", ev.AggregateID, err, tt.want)
			}
			if tt.want == "" && !errors.Is(err, ErrNoAggregateID) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMappingUnspecifiedEnumIsMissing(t *testing.T) {
	t.Parallel()
	m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.OrderEvent", AggregateID: "header.order_id", EventType: "header.kind"})
	if _, err := m.Extract(encode(t, m, `{"header": {"order_id": "1"}}`)); !errors.Is(err, ErrNoEventType) {
		t.Errorf("error %v", err)
	}
	if ev, err := m.Extract(encode(t, m, `{"header": {"order_id": "1", "kind": 2}}`)); err != nil || ev.Type != "KIND_WHOLESALE" {
		t.Errorf("event_type %q, error %v", ev.Type, err)
	}
}

func TestMappingOneofFollowsTheLastMember(t *testing.T) {
	t.Parallel()
	m := newMapping(t, MappingConfig{
		DescriptorSet: acme, Message: "acme.orders.v1.OrderEvent", AggregateID: "order_shipped.carrier", AggregateType: "oneof_type:event",
		EventType: "oneof:event", EventData: "oneof:event",
	})
	placed, shipped := encode(t, m, `{"order_placed": {"customer_id": "c"}}`), encode(t, m, `{"order_shipped": {"carrier": "post"}}`)
	attempt := encode(t, m, `{"order_shipped": {"attempt": 2}}`)
	ev, err := m.Extract(slices.Concat(shipped, placed, shipped, attempt))
	if err != nil || ev.Type != "order_shipped" || ev.AggregateType != "OrderShipped" || ev.AggregateID != "post" || string(ev.Data) != `{"carrier":"post","attempt":2}` {
		t.Errorf("event %+v %s, error %v", ev, ev.Data, err)
	}
	if _, err := m.Extract(slices.Concat(shipped, placed)); !errors.Is(err, ErrNoAggregateID) {
		t.Errorf("after another member was set: error %v", err)
	}
}

func TestMappingVersions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		source    string
		version   uint64
		assigned  bool // AppendVersion sets the field
		wrongSign bool // -1 is out of range
	}{
		{"i32", 7, true, true}, {"s32", 7, true, true}, {"sf32", 7, true, true}, {"u32", 7, true, false}, {"f32", 7, true, false},
		{"i64", 7, true, true}, {"s64", 7, true, true}, {"sf64", 7, true, true}, {"u64", 7, true, true}, {"f64", 7, true, true},
		{"oi", 7, true, true}, {"u64", math.MaxInt64, true, true}, {"s64", math.MaxInt64, true, true}, {"sf64", math.MaxInt64, true, true},
		{"i32", math.MaxInt32, true, true}, {"i32", math.MaxInt32 + 1, false, true}, {"s32", math.MaxInt32 + 1, false, true},
		{"sf32", math.MaxInt32 + 1, false, true}, {"u32", math.MaxUint32, true, false}, {"f32", math.MaxUint32 + 1, false, false},
		{"child.u64", 7, false, true}, {"choice_number", 7, false, true}, {"", 7, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.source+" "+strconv.FormatUint(tt.version, 10), func(t *testing.T) {
			m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventType: "= x", EventVersion: tt.source})
			payload := bytesField(1, "id")
			stored := m.AppendVersion(payload, tt.version)
			ev, err := m.Extract(stored)
			if err != nil || tt.assigned && ev.Version != tt.version || !tt.assigned && !bytes.Equal(stored, payload) {
				t.Errorf("version %d, payload %x, error %v", ev.Version, stored, err)
			}
			if !m.SameEvent(payload, stored) || !m.SameEvent(stored, payload) {
				t.Error("SameEvent is false after AppendVersion")
			}
			if m.SameEvent(stored, append(bytesField(17, "other"), payload...)) {
				t.Error("SameEvent is true for another event")
			}
			if tt.assigned && m.SameEvent(stored, m.AppendVersion(payload, tt.version-1)) {
				t.Error("SameEvent is true for another version")
			}
			if len(m.sources[columnVersion].path) != 1 {
				return
			}
			fd := m.sources[columnVersion].path[0]
			minus := protowire.AppendTag(payload, fd.Number(), wireType(fd.Kind()))
			switch wireType(fd.Kind()) {
			case protowire.Fixed32Type:
				minus = protowire.AppendFixed32(minus, math.MaxUint32)
			case protowire.Fixed64Type:
				minus = protowire.AppendFixed64(minus, math.MaxUint64)
			default:
				minus = protowire.AppendVarint(minus, math.MaxUint64)
			}
			if _, err := m.Extract(minus); errors.Is(err, ErrVersionRange) != tt.wrongSign {
				t.Errorf("-1: error %v", err)
			}
		})
	}
}

// If event_data is the whole message, it has the assigned version, too.
func TestMappingVersionInData(t *testing.T) {
	t.Parallel()
	m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.OrderEvent", AggregateID: "header.order_id", EventType: "$message", EventVersion: "version", EventData: "$message"})
	payload := encode(t, m, `{"header": {"order_id": "1"}}`)
	ev, err := m.ExtractNew(payload)
	if err != nil {
		t.Fatal(err)
	}
	stored, assigned := m.Assign(payload, &ev, 7)
	again, err := m.Extract(stored)
	if want := `{"header":{"order_id":"1"},"version":"7"}`; err != nil || string(assigned.Document(31)) != want || string(again.Document(31)) != want {
		t.Errorf("event_data %s, of the stored message %s, error %v, want %s", assigned.Document(31), again.Document(31), err, want)
	}
}

func TestMappingRefusedPayloads(t *testing.T) {
	t.Parallel()
	id := bytesField(1, "id")
	with := func(parts ...[]byte) []byte { return slices.Concat(append([][]byte{id}, parts...)...) }
	nest := func(levels int, num protowire.Number, b ...byte) []byte {
		for range levels {
			b = bytesField(num, string(b))
		}
		return b
	}
	group := func(levels int) []byte {
		return slices.Concat(bytes.Repeat([]byte{0xa3, 0x38}, levels), bytes.Repeat([]byte{0xa4, 0x38}, levels))
	}
	const not = "invalid event: not a valid acme.orders.v1.Everything: "
	tests := map[string]struct {
		payload []byte
		want    string // empty: accepted
	}{
		"least":                       {id, ""},
		"empty":                       {nil, "invalid event: aggregate_id is missing"},
		"long":                        {bytesField(1, strings.Repeat("x", 256)), "invalid event: aggregate_id is longer than 255 bytes"},
		"long bytes":                  {with(bytesField(2, strings.Repeat("x", 128))), "invalid event: event_id is longer than 255 bytes"},
		"NUL":                         {bytesField(1, "a\x00"), "invalid event: aggregate_id contains a NUL byte"},
		"bad UTF-8":                   {bytesField(1, "\xff"), "invalid event: s is not valid UTF-8"},
		"bad UTF-8 elsewhere":         {with(bytesField(19, string(bytesField(22, "\xff")))), "invalid event: strings is not valid UTF-8"},
		"bad UTF-8 in a map":          {with(bytesField(24, "\x12\x01\xff")), "invalid event: value is not valid UTF-8"},
		"bytes need no UTF-8":         {with(bytesField(2, "\xff")), ""},
		"100 messages deep":           {with(nest(99, 19)), ""},
		"101 messages deep":           {with(nest(100, 19)), not + "messages are nested deeper than 100"},
		"3000 messages deep":          {with(nest(3000, 19)), not + "messages are nested deeper than 100"},
		"a map 99 messages deep":      {with(nest(98, 19, nest(1, 24)...)), ""},
		"maps count as messages":      {with(nest(99, 19, nest(1, 24)...)), not + "messages are nested deeper than 100"},
		"unknown groups, deep":        {with(group(9000)), ""},
		"unknown groups, too deep":    {with(group(20_000)), not + "field 900 is malformed at byte 6"},
		"unended group":               {with([]byte{0xa3, 0x38}), not + "field 900 is truncated at byte 6"},
		"a million elements":          {with(bytesField(21, strings.Repeat("\x01", 1_000_000))), ""},
		"too many elements":           {with(bytesField(21, strings.Repeat("\x01", 1<<20))), not + "it has too many fields"},
		"a hundred thousand messages": {with(bytes.Repeat([]byte{0xa2, 1, 0}, 100_000)), ""},
		"too many messages":           {with(bytes.Repeat([]byte{0xa2, 1, 0}, 150_000)), not + "it has too many fields"},
		"too many entries":            {with(bytes.Repeat([]byte{0xc2, 1, 0}, 150_000)), not + "it has too many fields"},
		"one message in many parts":   {with(bytes.Repeat([]byte{0x9a, 1, 2, 0x20, 1}, 100_000)), ""},
		"cut off":                     {with([]byte{0x9a, 1, 5, 1}), not + "child is truncated at byte 6"},
		"cut off in a message":        {with([]byte{0x9a, 1, 2, 0x0a, 9}), not + "s is truncated at byte 8"},
		"cut off number":              {with([]byte{0x20, 0x80}), not + "i32 is truncated at byte 5"},
		"overflowing number":          {with([]byte{0x20}, bytes.Repeat([]byte{0xff}, 9), []byte{2}), not + "i32 is malformed at byte 5"},
		"cut off packed number":       {with(bytesField(21, "\x80")), not + "numbers is truncated at byte 7"},
		"cut off tag":                 {with([]byte{0x80}), not + "truncated at byte 4"},
		"field number 0":              {with([]byte{0, 0}), not + "malformed at byte 4"},
		"reserved wire type":          {with([]byte{0x0f}), not + "field 1 is malformed at byte 5"},
		"stray end of group":          {with([]byte{0x0c}), not + "field 1 is malformed at byte 5"},
		"known field of other type":   {with([]byte{0x08, 1}), ""},
		"damaged entry":               {with(bytesField(24, "\x08")), not + "key is truncated at byte 8"},
		"key that is none":            {with(bytesField(24, "\x08\x01\x0a\x00")), not + "words is malformed at byte 6"},
		"text":                        {[]byte("hello, world"), not + "field 13 is malformed at byte 3"},
	}
	m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Everything", AggregateID: "s", EventID: "b", EventType: "= x", EventData: "$message", Metadata: "leaf"})
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := m.Extract(tt.payload)
			switch {
			case err == nil && tt.want == "":
			case err == nil || err.Error() != tt.want:
				t.Errorf("error %.200v, want %q", err, tt.want)
			case !errors.Is(err, ErrInvalid):
				t.Errorf("%T is not ErrInvalid", err)
			}
			// SameEvent must also cope with refused payloads: other programs can write to the database.
			if m.SameEvent(tt.payload, append(id, 0x18, 1)) {
				t.Error("SameEvent is true for another event")
			}
		})
	}
}

func TestMappingRequiresRequiredFields(t *testing.T) {
	t.Parallel()
	m := newMapping(t, MappingConfig{DescriptorSet: acme, Message: "acme.orders.v1.Legacy", AggregateID: "inner.text", EventType: "type", EventData: "$message"})
	payload := slices.Concat(bytesField(2, "T"), bytesField(7, string(bytesField(1, "a-1"))))
	if _, err := m.Extract(payload); err == nil || err.Error() != "invalid event: not a valid acme.orders.v1.Legacy: a required field is missing" {
		t.Errorf("error %v", err)
	}
	payload = append(payload, bytesField(1, "1")...)
	payload = append(payload, bytesField(100, string(bytesField(1, "an extension")))...)
	ev, err := m.Extract(payload)
	if got := string(ev.Document(31)); err != nil || got != `{"id":"1","type":"T","inner":{"text":"a-1"}}` {
		t.Errorf("event_data %s, error %v", got, err)
	}
}

func BenchmarkMapping(b *testing.B) {
	m := orders(b)
	payload := encode(b, m, `{
		"header": {"order_id": "order-17", "event_id": "Xwwfh4pXShyaCy88fQ6bEQ=="},
		"order_placed": {"customer_id": "c-9", "items": [{"sku": "a-1", "quantity": 2}, {"sku": "b-1", "quantity": 2}], "placed_at": "2026-01-02T03:04:05Z", "total": 12.5},
		"version": 3, "metadata": {"user": "ann", "correlation_id": "c-1"}
	}`)
	plain := newMapping(b, MappingConfig{
		DescriptorSet: acme, Message: "acme.orders.v1.OrderEvent", AggregateID: "header.order_id", EventType: "oneof_type:event",
		EventVersion: "version", EventID: "header.event_id", EventData: "header.event_id",
	})
	for name, m := range map[string]messageMapping{"message": m, "bytes": plain} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(payload)))
			for b.Loop() {
				if _, err := m.Extract(payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
