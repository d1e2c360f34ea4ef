package proto

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// maxDocument bounds the JSON form of a message, in bytes, on top of twice the size of the message. Names of fields and
// enums can make it many times larger than the message.
const maxDocument = 8 << 20

// metadataDepth is the maximum nesting that every database accepts. MariaDB has the lowest limit.
const metadataDepth = 31

// Document returns the JSON text that is stored for event_data, nil for SQL NULL. It is the result of JSON for Data, with
// one exception: if a Mapping created JSON that the database refuses, it is a JSON string of the message's base64.
func (e *Event) Document(maxDepth int) []byte {
	if e.binary != nil && !storable(e.Data, maxDepth) {
		return base64JSON(e.binary)
	}
	return JSON(e.Data, maxDepth)
}

// data sets the event data.
func (m *messages) data(s *scanner, ev *Event) {
	md, content := m.message, s.payload
	switch slot := &s.slots[columnData]; {
	case m.sources[columnData].kind == sourceMessage:
	case slot.field == nil:
		return
	case slot.field.Message() == nil:
		ev.Data = slot.value.bytes[:len(slot.value.bytes):len(slot.value.bytes)]
		return
	default:
		md, content = slot.field.Message(), slot.value.bytes
	}
	if doc, ok := m.document(md, content); ok {
		ev.Data, ev.binary = doc, content
	} else {
		ev.Data = base64JSON(content)
	}
}

// metadata returns the column metadata, nil if there is none.
func (m *messages) metadata(s *scanner) ([]byte, error) {
	slot := &s.slots[columnMetadata]
	if slot.field == nil {
		return nil, nil
	}
	if slot.field.IsMap() {
		return object(s.entries)
	}
	doc, ok := m.document(slot.field.Message(), slot.value.bytes)
	switch {
	case !ok || !storable(doc, metadataDepth):
		return nil, errMetadataForm
	case string(doc) == "{}":
		return nil, nil
	}
	return doc, nil
}

var errMetadataForm = &InvalidError{Field: "metadata", Reason: "has no JSON form that every database accepts: it is nested too deeply, or has a number beyond a double or a NUL"}

// document returns the JSON form of a scanned message, or false if it has none. Reasons are an Any whose type is not in
// the descriptor set, a Timestamp out of range, and text that is not UTF-8.
func (m *messages) document(md protoreflect.MessageDescriptor, content []byte) ([]byte, bool) {
	msg := dynamicpb.NewMessage(md)
	if unmarshalOptions.Unmarshal(content, msg) != nil {
		return nil, false
	}
	if m.hasAny {
		w := anyWalk{m: m, left: maxFields, whole: m.whole}
		if !w.message(msg, 1) {
			return nil, false
		}
	}
	doc, err := protojson.MarshalOptions{UseProtoNames: true, AllowPartial: true, Resolver: m.types}.Marshal(msg)
	if err != nil || len(doc) > maxDocument+2*len(content) {
		return nil, false
	}
	// protojson adds white space that differs between binaries. Stored text must not differ between servers.
	var out bytes.Buffer
	out.Grow(len(doc))
	if json.Compact(&out, doc) != nil {
		return nil, false
	}
	return out.Bytes(), true
}

// anyWalk applies the bounds of a payload to the contents of google.protobuf.Any. The scanner sees only bytes there, and
// protojson unpacks them without bounds.
type anyWalk struct {
	m     *messages
	left  int
	whole bool // refuses fields that a type lacks, too
}

// message reports whether each Any in msg, which is nested at depth, can be unpacked within the bounds.
func (w *anyWalk) message(msg protoreflect.Message, depth int) bool {
	if msg.Descriptor().FullName() == anyName {
		return w.unpack(msg, depth)
	}
	ok := true
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
					ok = w.message(v.Message(), depth+2)
					return ok
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := 0; ok && i < v.List().Len(); i++ {
				ok = w.message(v.List().Get(i).Message(), depth+1)
			}
		default:
			ok = w.message(v.Message(), depth+1)
		}
		return ok
	})
	return ok
}

func (w *anyWalk) unpack(msg protoreflect.Message, depth int) bool {
	url := msg.Get(msg.Descriptor().Fields().ByNumber(1)).String()
	content := msg.Get(msg.Descriptor().Fields().ByNumber(2)).Bytes()
	if url == "" {
		return len(content) == 0
	}
	typ, err := w.m.types.FindMessageByURL(url)
	if err != nil {
		return false
	}
	s := scanner{payload: content, left: w.left}
	if s.message(content, typ.Descriptor(), nil, depth+1) != nil {
		return false
	}
	w.left = s.left
	inner := dynamicpb.NewMessage(typ.Descriptor())
	return unmarshalOptions.Unmarshal(content, inner) == nil && (!w.whole || !hasUnknown(inner)) && w.message(inner, depth+1)
}
