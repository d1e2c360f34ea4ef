package proto

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// maxDocument is how long the JSON form of a message may be in bytes, beside twice the message: names of fields and
// enums can make it many times longer than what was published.
const maxDocument = 8 << 20

// metadataDepth is how deep a document every database takes: MariaDB the least.
const metadataDepth = 31

// Document returns the JSON text that is stored for event_data, nil for SQL NULL. It is what JSON returns for Data, but
// if a Mapping made JSON of a message that the database refuses, or that has no JSON form, it is a JSON string of
// the base64 of that message.
func (e *Event) Document(maxDepth int) []byte {
	if e.binary != nil && !storable(e.Data, maxDepth) {
		return base64JSON(e.binary)
	}
	return JSON(e.Data, maxDepth)
}

// data fills in event_data.
func (m *Mapping) data(s *scanner, ev *Event) {
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
func (m *Mapping) metadata(s *scanner) ([]byte, error) {
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
		return nil, &InvalidError{Field: "metadata", Reason: "has no JSON form that every database takes"}
	case string(doc) == "{}":
		return nil, nil
	}
	return doc, nil
}

// document returns the JSON form of a message that was scanned, false if it has none: an Any whose type is not in the
// descriptor set, a Timestamp out of range, text that is not UTF-8.
func (m *Mapping) document(md protoreflect.MessageDescriptor, content []byte) ([]byte, bool) {
	msg := dynamicpb.NewMessage(md)
	if unmarshalOptions.Unmarshal(content, msg) != nil {
		return nil, false
	}
	if m.hasAny {
		w := anyWalk{m: m, left: maxFields}
		if !w.message(msg, 1) {
			return nil, false
		}
	}
	doc, err := protojson.MarshalOptions{UseProtoNames: true, AllowPartial: true, Resolver: m.types}.Marshal(msg)
	if err != nil || len(doc) > maxDocument+2*len(content) {
		return nil, false
	}
	// protojson adds white space that depends on the binary, so that nobody relies on its bytes. SQL text should not
	// differ between two servers.
	var out bytes.Buffer
	out.Grow(len(doc))
	if json.Compact(&out, doc) != nil {
		return nil, false
	}
	return out.Bytes(), true
}

// anyWalk holds what is packed in google.protobuf.Any to the bounds of a payload: the scan of a payload takes it for
// bytes, and protojson, which unpacks it, has no bounds.
type anyWalk struct {
	m    *Mapping
	left int
}

// message reports whether each Any within msg, which is at a depth, can be unpacked within bounds.
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
	return unmarshalOptions.Unmarshal(content, inner) == nil && w.message(inner, depth+1)
}
