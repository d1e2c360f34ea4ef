package proto

import (
	"mime"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Decoder shows protobuf messages of known types as JSON, for people to read. It is safe for concurrent use. The nil Decoder knows no types.
type Decoder struct {
	types map[string]decoderType // by their full names
	short map[string]string      // full names by those without the package; "" where several types have one
}

type decoderType struct {
	message protoreflect.MessageDescriptor
	all     *dynamicpb.Types // of its descriptor set
}

// NewDecoder returns a decoder of the types in files with a google.protobuf.FileDescriptorSet. Where two have a type of one name, the first
// counts. Its error names the file.
func NewDecoder(files ...string) (*Decoder, error) {
	d := &Decoder{types: make(map[string]decoderType), short: make(map[string]string)}
	for _, name := range files {
		found, err := readDescriptors(name)
		if err != nil {
			return nil, err
		}
		all := dynamicpb.NewTypes(found)
		found.RangeFiles(func(file protoreflect.FileDescriptor) bool {
			d.add(file.Messages(), all)
			return true
		})
	}
	return d, nil
}

func (d *Decoder) add(messages protoreflect.MessageDescriptors, all *dynamicpb.Types) {
	for i := range messages.Len() {
		md := messages.Get(i)
		name, short := string(md.FullName()), string(md.Name())
		if _, known := d.types[name]; known || md.IsMapEntry() {
			continue
		}
		d.types[name] = decoderType{md, all}
		if _, taken := d.short[short]; taken {
			name = ""
		}
		d.short[short] = name
		d.add(md.Messages(), all)
	}
}

// TypeOf returns the full name of the message type that an event's data has, as far as the event tells: by a parameter of its content type, as
// in application/protobuf; messageType="shop.v1.OrderPaid", or by its event type, with or without the package. It is "" if no known type fits.
func (d *Decoder) TypeOf(contentType, eventType string) string {
	if d == nil || len(d.types) == 0 {
		return ""
	}
	_, parameters, _ := mime.ParseMediaType(contentType)
	for _, name := range []string{parameters["messagetype"], parameters["proto"], parameters["type"], eventType} {
		name = strings.TrimPrefix(name, ".")
		if _, known := d.types[name]; known {
			return name
		}
	}
	return d.short[eventType]
}

// JSON returns a message of a type, by its full name, as JSON. It returns false if the type is not known, if the bytes are not such a
// message, if they have fields that the type lacks, or if they have no JSON form within the bounds of event_data.
func (d *Decoder) JSON(name string, content []byte) ([]byte, bool) {
	if d == nil {
		return nil, false
	}
	t, known := d.types[name]
	if !known {
		return nil, false
	}
	s := scanner{payload: content, name: t.message.FullName(), left: maxFields}
	if s.message(content, t.message, nil, 1) != nil {
		return nil, false
	}
	msg := dynamicpb.NewMessage(t.message)
	if unmarshalOptions.Unmarshal(content, msg) != nil || hasUnknown(msg) {
		return nil, false
	}
	m := messages{message: t.message, types: t.all, hasAny: true, whole: true}
	return m.document(t.message, content)
}

// hasUnknown reports whether a message, or one in it, has fields that its type lacks: JSON would not show them.
func hasUnknown(msg protoreflect.Message) bool {
	unknown := len(msg.GetUnknown()) > 0
	if unknown {
		return true
	}
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				unknown = hasUnknown(v.Message())
				return !unknown
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := 0; !unknown && i < v.List().Len(); i++ {
				unknown = hasUnknown(v.List().Get(i).Message())
			}
		default:
			unknown = hasUnknown(v.Message())
		}
		return !unknown
	})
	return unknown
}
