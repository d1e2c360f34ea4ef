package proto

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// everything returns mappings that together use each kind of field as each kind of source.
func everything(t testing.TB) []messageMapping {
	t.Helper()
	const message = "acme.orders.v1.Everything"
	configs := []MappingConfig{
		{AggregateID: "s", EventType: "color", EventVersion: "u64", EventID: "b", EventData: "$message", Metadata: "words"},
		{AggregateID: "child.s", EventType: "oneof:choice", EventVersion: "child.s32", EventID: "child.child.b", EventData: "child", Metadata: "child.blobs"},
		{AggregateID: "choice_message.os", EventType: "oneof:choice_message.choice", AggregateType: "oneof_type:message_choice", EventData: "oneof:message_choice", Metadata: "choice_message.child"},
		{AggregateID: "choice_text", EventType: "branch.child.color", EventVersion: "choice_number", EventData: "branch.choice_message", Metadata: "branch.colors"},
		{AggregateID: "= all", EventType: "$message", AggregateType: "s", EventVersion: "sf32", EventID: "oi", EventData: "s", Metadata: "struct"},
		{AggregateID: "choice_leaf.size", EventType: "= x", EventVersion: "s64", EventID: "choice_bytes", EventData: "any", Metadata: "leaf"},
		{AggregateID: "s64", EventType: "u32", AggregateType: "f64", EventVersion: "i32", EventID: "s32", EventData: "choice_message.b"},
		{Message: "acme.orders.v1.Legacy", AggregateID: "id", EventType: "type", EventVersion: "body.version", EventData: "body", EventID: "body.text", Metadata: "labels"},
		{Message: "acme.orders.v1.Legacy", AggregateID: "inner.text", EventType: "= x", EventData: "$message", Metadata: "inner"},
	}
	var all []messageMapping
	for _, cfg := range configs {
		if cfg.DescriptorSet = acme; cfg.Message == "" {
			cfg.Message = message
		}
		if cfg.AggregateID[0] != '=' { // agree compares these tags with the columns
			cfg.Tags = append(cfg.Tags, "{"+cfg.AggregateID+"}")
		}
		if cfg.EventType[0] != '=' && !strings.HasSuffix(cfg.EventType, ".color") { // the zero of an absent message is not a tag
			cfg.Tags = append(cfg.Tags, "type:{"+cfg.EventType+"}")
		}
		all = append(all, newMapping(t, cfg))
	}
	return all
}

// randomWire returns a random encoding of a message: fields in any order and several times, members of oneofs in turn,
// messages in parts, now and then something unknown or wrong. Two of three fields are among those that st wants.
func randomWire(r *rand.Rand, md protoreflect.MessageDescriptor, st *step, depth int) []byte {
	var out []byte
	var wanted []protowire.Number
	if st != nil {
		wanted = slices.Sorted(maps.Keys(st.fields))
	}
	for range r.IntN(6) + len(wanted) {
		fd := md.Fields().Get(r.IntN(md.Fields().Len()))
		if len(wanted) > 0 && r.IntN(3) > 0 {
			fd = md.Fields().ByNumber(wanted[r.IntN(len(wanted))])
		}
		kind := fd.Kind()
		if fd.Message() != nil && depth <= 0 && !fd.IsMap() {
			continue
		}
		switch r.IntN(300) {
		case 0:
			out = append(out, bytesField(fd.Number(), "wrong")...)
			continue
		case 1:
			out = protowire.AppendVarint(protowire.AppendTag(out, 900, protowire.VarintType), 7)
			continue
		case 2:
			out = append(out, byte(r.IntN(256)))
			continue
		}
		if fd.IsList() && isPackable(kind) && r.IntN(2) == 0 {
			var packed []byte
			for range r.IntN(4) {
				packed = appendRandom(r, packed, fd, nil, depth)
			}
			out = append(out, bytesField(fd.Number(), string(packed))...)
			continue
		}
		out = appendRandom(r, protowire.AppendTag(out, fd.Number(), wireType(kind)), fd, st, depth)
	}
	return out
}

func appendRandom(r *rand.Rand, out []byte, fd protoreflect.FieldDescriptor, st *step, depth int) []byte {
	var below *step
	if w := st.get(fd.Number()); w != nil {
		below = w.below
	}
	number := uint64(r.IntN(3))
	if r.IntN(3) == 0 {
		number = r.Uint64() >> r.IntN(64)
	}
	switch wireType(fd.Kind()) {
	case protowire.VarintType:
		return protowire.AppendVarint(out, number)
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(out, uint32(number))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(out, number)
	case protowire.StartGroupType:
		return protowire.AppendTag(append(out, randomWire(r, fd.Message(), below, depth-1)...), fd.Number(), protowire.EndGroupType)
	}
	switch {
	case fd.Message() != nil && fd.Message().FullName() == anyName:
		urls := []string{"type.googleapis.com/acme.orders.v1.Leaf", "a/google.protobuf.Value", "acme.orders.v1.Everything", "no/such.Type", ""}
		url := urls[r.IntN(len(urls))]
		content := append(bytesField(1, "x"), 0x10, byte(r.IntN(256)))
		return protowire.AppendBytes(out, append(bytesField(1, url), bytesField(2, string(content))...))
	case fd.Message() != nil:
		return protowire.AppendBytes(out, randomWire(r, fd.Message(), below, depth-1))
	}
	texts := []string{"", "a", "order-1", "Zoë \"q\"\n", "0123456789abcdef", "{\"a\":[1]}", strings.Repeat("x", 255), strings.Repeat("y", 256), "\x00", "\xff"}
	at := r.IntN(len(texts) + 60)
	if at >= len(texts) {
		at = 2 + at%4
	}
	return protowire.AppendString(out, texts[at])
}

func TestMappingAgreesWithUnmarshal(t *testing.T) {
	t.Parallel()
	mappings := everything(t)
	r := rand.New(rand.NewPCG(3, 4))
	accepted, refused := make([]int, len(mappings)), make([]int, len(mappings))
	for range 10_000 {
		at := r.IntN(len(mappings))
		if agree(t, mappings[at], randomWire(r, mappings[at].message, mappings[at].root, 4)) {
			accepted[at]++
		} else {
			refused[at]++
		}
	}
	for i := range mappings {
		if accepted[i] < 50 || refused[i] < 50 {
			t.Errorf("mapping %d accepted %d payloads and refused %d: too few of one kind to prove anything", i, accepted[i], refused[i])
		}
	}
}

func FuzzMapping(f *testing.F) {
	mappings := everything(f)
	r := rand.New(rand.NewPCG(5, 6))
	for range 400 {
		at := r.IntN(len(mappings))
		f.Add(byte(at), randomWire(r, mappings[at].message, mappings[at].root, 4))
	}
	f.Fuzz(func(t *testing.T, at byte, payload []byte) {
		m := mappings[int(at)%len(mappings)]
		if !agree(t, m, payload) {
			return
		}
		if !m.SameEvent(payload, m.AppendVersion(payload, 7)) {
			ev, err := m.Extract(payload)
			if err != nil || ev.Version == 0 {
				t.Error("SameEvent is false after AppendVersion")
			}
		}
	})
}

// agree compares the result of Extract with a message that proto.Unmarshal built. It reports whether the payload is an event.
func agree(t *testing.T, m messageMapping, payload []byte) bool {
	t.Helper()
	before := bytes.Clone(payload)
	got, err := m.Extract(payload)
	if !bytes.Equal(payload, before) {
		t.Fatal("Extract changed the payload")
	}
	want, binary, ok := m.extractSlowly(payload)
	if (err == nil) != ok {
		t.Fatalf("%x: error %v, want an error: %v", payload, err, !ok)
	}
	if !ok {
		if !strings.HasPrefix(err.Error(), "invalid event: ") || !utf8.ValidString(err.Error()) {
			t.Errorf("error %q", err)
		}
		return false
	}
	document := string(got.Document(999))
	if binary != nil {
		// Occurrences that merge have several encodings.
		var text string
		if err := json.Unmarshal([]byte(document), &text); err != nil {
			t.Fatalf("%x: document %s: %v", payload, document, err)
		}
		content, err := base64.StdEncoding.DecodeString(text)
		decoded := dynamicpb.NewMessage(binary.Descriptor())
		if err != nil || unmarshalOptions.Unmarshal(content, decoded) != nil || !proto.Equal(decoded, binary.Interface()) {
			t.Fatalf("%x: document %s is not the base64 of %v", payload, document, binary)
		}
		document = ""
	}
	if got.ID != want.ID || got.Type != want.Type || got.AggregateID != want.AggregateID || got.AggregateType != want.AggregateType ||
		got.Version != want.Version || document != string(want.Data) || string(got.Metadata) != string(want.Metadata) {
		t.Fatalf("%x:\ngot  %+v %s %s\nwant %+v %s %s", payload, got, document, got.Metadata, want, want.Data, want.Metadata)
	}
	var tags []string
	if m.sources[columnAggregateID].kind != sourceText {
		tags = append(tags, want.AggregateID)
	}
	if len(m.tags) > len(tags) {
		tags = append(tags, "type:"+want.Type)
	}
	if !slices.Equal(got.Tags, Tags(tags)) {
		t.Fatalf("%x: tags %q, want %q", payload, got.Tags, Tags(tags))
	}
	return true
}

// extractSlowly implements Extract with proto.Unmarshal. Data is the document, unless it must be base64: then the message to
// encode is returned.
func (m *messages) extractSlowly(payload []byte) (Event, protoreflect.Message, bool) {
	msg := dynamicpb.NewMessage(m.message)
	if !slowUnmarshal(payload, msg) {
		return Event{}, nil, false
	}
	ok := true
	text := func(c column) string {
		s := m.slowText(msg, m.sources[c])
		ok = ok && len(s) <= MaxIdentifier && !strings.ContainsRune(s, 0) && utf8.ValidString(s)
		return s
	}
	ev := Event{ID: text(columnID), Type: text(columnType), AggregateID: text(columnAggregateID), AggregateType: text(columnAggregateType)}
	if v, has := slowGet(msg, m.sources[columnVersion].path); has {
		n, err := fmt.Sscan(v.String(), &ev.Version)
		ok = ok && n == 1 && err == nil && ev.Version <= math.MaxInt64
	}
	ok = ok && ev.Type != "" && ev.AggregateID != ""

	var binary protoreflect.Message
	src := m.sources[columnData]
	v, has := protoreflect.ValueOfMessage(msg), src.kind == sourceMessage
	switch src.kind {
	case sourceField:
		v, has = slowGet(msg, src.path)
	case sourceOneof:
		fd := msg.WhichOneof(src.oneof)
		if has = fd != nil; has {
			v = msg.Get(fd)
		}
	}
	if has {
		switch v := v.Interface().(type) {
		case protoreflect.Message:
			if ev.Data, has = m.slowJSON(v); !has || !storable(ev.Data, 999) {
				ev.Data, binary = nil, v
			}
		case []byte:
			ev.Data = JSON(v, 999)
		case string:
			ev.Data = JSON([]byte(v), 999)
		}
	}

	if src = m.sources[columnMetadata]; src.kind == sourceField {
		v, has := slowGet(msg, src.path)
		fd := src.path[len(src.path)-1]
		switch {
		case !has:
		case fd.IsMap():
			object := map[string]string{}
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				key, value := slowScalar(fd.MapKey(), k.Value()), slowScalar(fd.MapValue(), v)
				ok = ok && !strings.ContainsRune(key+value, 0) && utf8.ValidString(key) && utf8.ValidString(value)
				object[key] = value
				return true
			})
			ev.Metadata = slowObject(object)
		default:
			var has bool
			ev.Metadata, has = m.slowJSON(v.Message())
			ok = ok && has && storable(ev.Metadata, 31)
			if string(ev.Metadata) == "{}" {
				ev.Metadata = nil
			}
		}
	}
	return ev, binary, ok
}

// slowUnmarshal treats a panic of proto.Unmarshal as an error: it panics on a map entry with a second key of the wrong wire
// type.
func slowUnmarshal(payload []byte, msg *dynamicpb.Message) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return proto.UnmarshalOptions{RecursionLimit: 100, Resolver: new(protoregistry.Types)}.Unmarshal(payload, msg) == nil
}

// slowGet returns the field at the end of a path, false if it is absent.
func slowGet(msg protoreflect.Message, path []protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	for i, fd := range path {
		if !msg.Has(fd) {
			break
		}
		if i == len(path)-1 {
			return msg.Get(fd), true
		}
		msg = msg.Get(fd).Message()
	}
	return protoreflect.Value{}, false
}

func (m *messages) slowText(msg protoreflect.Message, src source) string {
	switch src.kind {
	case sourceText:
		return src.text
	case sourceMessage:
		return string(m.message.Name())
	case sourceField:
		fd := src.path[len(src.path)-1]
		v, has := slowGet(msg, src.path)
		if !has {
			if fd.Kind() != protoreflect.EnumKind || fd.HasPresence() {
				return ""
			}
			v = fd.Default()
		}
		if text := slowScalar(fd, v); !strings.HasSuffix(text, "_UNSPECIFIED") {
			return text
		}
	case sourceOneof, sourceOneofType:
		for _, fd := range src.path {
			msg = msg.Get(fd).Message()
		}
		if fd := msg.WhichOneof(src.oneof); fd != nil && src.kind == sourceOneof {
			return string(fd.Name())
		} else if fd != nil {
			return string(fd.Message().Name())
		}
	}
	return ""
}

func slowScalar(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch v := v.Interface().(type) {
	case []byte:
		if len(v) == 16 {
			return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
		}
		return hex.EncodeToString(v)
	case protoreflect.EnumNumber:
		if known := fd.Enum().Values().ByNumber(v); known != nil {
			return string(known.Name())
		}
	}
	return v.String()
}

func slowObject(object map[string]string) []byte {
	if len(object) == 0 {
		return nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(object) // encoding a map of strings cannot fail
	return bytes.TrimSpace(out.Bytes())
}

func (m *messages) slowJSON(msg protoreflect.Message) ([]byte, bool) {
	doc, err := protojson.MarshalOptions{UseProtoNames: true, AllowPartial: true, Resolver: m.types}.Marshal(msg.Interface())
	var out bytes.Buffer
	if err != nil || json.Compact(&out, doc) != nil {
		return nil, false
	}
	return out.Bytes(), true
}
