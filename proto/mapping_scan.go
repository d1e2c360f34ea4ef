package proto

import (
	"errors"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds of a mapped payload. Payloads are not trusted, and decoding takes many times their size in memory.
const (
	// maxDepth is the maximum nesting of messages, counting the payload as 1. Protobuf has the same limit in most
	// languages.
	maxDepth = 100
	// maxFields is the maximum number of fields and elements in a payload; a message counts as messageFields.
	maxFields     = 1 << 20
	messageFields = 8
)

// value is a scalar as encoded on the wire, or the content of a message.
type value struct {
	bits  uint64
	bytes []byte
}

// slot holds the value read for a column.
type slot struct {
	field protoreflect.FieldDescriptor // nil if there is no value
	value value
	own   bool // value.bytes is a copy, not a slice of the payload
}

// scanner reads one payload. It treats the wire format as proto.Unmarshal does: the same input is valid, the same
// occurrence of a field counts, and the same messages merge. A step lists the values to keep.
type scanner struct {
	payload []byte
	name    protoreflect.FullName // of the payload's type
	left    int                   // remaining number of maxFields
	slots   [columns]slot
	entries []entry // of metadata, if it is a map

	maxEntries int
}

// message scans the content of a message that is nested at depth.
func (s *scanner) message(b []byte, md protoreflect.MessageDescriptor, st *step, depth int) error {
	if depth > maxDepth {
		return s.tooDeep()
	}
	fields := md.Fields()
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 || num > protowire.MaxValidNumber {
			return s.malformed("", b, n)
		}
		b = b[n:]
		if err := s.count(1); err != nil {
			return err
		}
		fd := fields.ByNumber(num)
		var err error
		switch {
		case fd == nil:
			n = 0
		case fd.IsMap():
			n, err = s.mapField(b, fd, wire, st.get(num), depth)
		case fd.IsList():
			n, err = s.listField(b, fd, wire, depth)
		default:
			n, err = s.singular(b, fd, wire, st.get(num), depth)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			// An unknown field, or a known one with the wrong wire type.
			if n = protowire.ConsumeFieldValue(num, wire, b); n < 0 {
				return s.malformed("field "+strconv.Itoa(int(num)), b, n)
			}
		}
		b = b[n:]
	}
	return nil
}

// singular, listField and mapField return the length of a field's value, 0 if it has the wrong wire type.

func (s *scanner) singular(b []byte, fd protoreflect.FieldDescriptor, wire protowire.Type, w *want, depth int) (int, error) {
	v, n, err := s.consume(b, fd, wire)
	if n == 0 || err != nil {
		return 0, err
	}
	if w != nil {
		s.keep(w, fd, v)
	}
	if fd.Message() != nil {
		var below *step
		if w != nil {
			below = w.below
		}
		return n, s.nested(v.bytes, fd, below, depth)
	}
	return n, nil
}

func (s *scanner) listField(b []byte, fd protoreflect.FieldDescriptor, wire protowire.Type, depth int) (int, error) {
	if wire == protowire.BytesType && isPackable(fd.Kind()) {
		packed, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return 0, s.malformed(string(fd.Name()), b, n)
		}
		element := wireType(fd.Kind())
		for len(packed) > 0 {
			_, n, err := s.consume(packed, fd, element)
			if err == nil {
				err = s.count(1)
			}
			if err != nil {
				return 0, err
			}
			packed = packed[n:]
		}
		return n, nil
	}
	v, n, err := s.consume(b, fd, wire)
	if n == 0 || err != nil || fd.Message() == nil {
		return n, err
	}
	return n, s.nested(v.bytes, fd, nil, depth)
}

// mapField reads one entry of a map: a message with a key (1) and a value (2). A missing one is zero; of several, the last
// counts.
func (s *scanner) mapField(b []byte, fd protoreflect.FieldDescriptor, wire protowire.Type, w *want, depth int) (int, error) {
	if depth == maxDepth {
		return 0, s.tooDeep()
	}
	if wire != protowire.BytesType {
		return 0, nil
	}
	content, size := protowire.ConsumeBytes(b)
	if size < 0 {
		return 0, s.malformed(string(fd.Name()), b, size)
	}
	if err := s.count(messageFields); err != nil {
		return 0, err
	}
	var key, val value
	var hasKey, wrongKey bool // wrongKey: a key of the wrong wire type follows
	for len(content) > 0 {
		num, wire, n := protowire.ConsumeTag(content)
		if n < 0 || num > protowire.MaxValidNumber {
			return 0, s.malformed(string(fd.Name()), content, n)
		}
		content = content[n:]
		var v value
		var err error
		switch num {
		case 1:
			v, n, err = s.consume(content, fd.MapKey(), wire)
			if n > 0 {
				key, hasKey, wrongKey = v, true, false
			} else {
				wrongKey = hasKey
			}
		case 2:
			if v, n, err = s.consume(content, fd.MapValue(), wire); n > 0 {
				val = v
				if err == nil && fd.MapValue().Message() != nil {
					err = s.nested(v.bytes, fd.MapValue(), nil, depth+1)
				}
			}
		default:
			n = 0
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			if n = protowire.ConsumeFieldValue(num, wire, content); n < 0 {
				return 0, s.malformed(string(fd.Name()), content, n)
			}
		}
		content = content[n:]
	}
	if wrongKey {
		// Other decoders treat it as an unknown field, but google.golang.org/protobuf 1.36 panics when it unmarshals a
		// dynamic message. No encoder writes it.
		return 0, s.malformed(string(fd.Name()), b, 0)
	}
	if w != nil && len(w.columns) > 0 {
		if len(s.entries) >= s.maxEntries {
			return 0, ErrMetadataEntries
		}
		s.slots[columnMetadata].field = fd
		s.entries = append(s.entries, entry{[]byte(scalarText(fd.MapKey(), key)), []byte(scalarText(fd.MapValue(), val))})
	}
	return size, nil
}

// nested scans the message in field fd.
func (s *scanner) nested(b []byte, fd protoreflect.FieldDescriptor, st *step, depth int) error {
	if err := s.count(messageFields); err != nil {
		return err
	}
	return s.message(b, fd.Message(), st, depth+1)
}

// consume reads one value of a field or one element of a list.
func (s *scanner) consume(b []byte, fd protoreflect.FieldDescriptor, wire protowire.Type) (value, int, error) {
	if wire != wireType(fd.Kind()) {
		return value{}, 0, nil
	}
	var v value
	var n int
	switch wire {
	case protowire.VarintType:
		v.bits, n = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		var bits uint32
		bits, n = protowire.ConsumeFixed32(b)
		v.bits = uint64(bits)
	case protowire.Fixed64Type:
		v.bits, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		v.bytes, n = protowire.ConsumeBytes(b)
	case protowire.StartGroupType:
		v.bytes, n = protowire.ConsumeGroup(fd.Number(), b)
	}
	if n < 0 {
		return value{}, 0, s.malformed(string(fd.Name()), b, n)
	}
	if fd.Kind() == protoreflect.StringKind && enforcesUTF8(fd) && !utf8.Valid(v.bytes) {
		return value{}, 0, errNotUTF8(string(fd.Name()))
	}
	return v, n, nil
}

// keep stores a value for the columns that use it. Repeated occurrences of a message merge: protobuf defines merging as
// concatenation.
func (s *scanner) keep(w *want, fd protoreflect.FieldDescriptor, v value) {
	for _, c := range w.clears {
		s.slots[c] = slot{}
		if c == columnMetadata {
			s.entries = nil
		}
	}
	for _, list := range [...][]column{w.columns, w.oneofs} {
		for _, c := range list {
			to := &s.slots[c]
			switch {
			case fd.Message() == nil || to.field != fd:
				*to = slot{field: fd, value: v}
			case to.own:
				to.value.bytes = append(to.value.bytes, v.bytes...)
			default:
				to.value.bytes, to.own = slices.Concat(to.value.bytes, v.bytes), true
			}
		}
	}
}

func (s *scanner) count(fields int) error {
	if s.left -= fields; s.left < 0 {
		return s.invalid("it has too many fields")
	}
	return nil
}

func (s *scanner) tooDeep() error {
	return s.invalid("messages are nested deeper than " + strconv.Itoa(maxDepth))
}

func (s *scanner) invalid(reason string) error {
	return &InvalidError{Reason: "not a valid " + string(s.name) + ": " + reason}
}

// malformed describes protowire's error code n at the start of rest, a suffix of the payload.
func (s *scanner) malformed(where string, rest []byte, n int) error {
	why := "malformed"
	if n < 0 && errors.Is(protowire.ParseError(n), io.ErrUnexpectedEOF) {
		why = "truncated"
	}
	why += " at byte " + strconv.Itoa(cap(s.payload)-cap(rest))
	if where != "" {
		why = where + " is " + why
	}
	return s.invalid(why)
}

// wireType returns the wire type of a kind, outside of packed fields.
func wireType(k protoreflect.Kind) protowire.Type {
	switch k {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	default:
		return protowire.VarintType
	}
}

func isPackable(k protoreflect.Kind) bool {
	t := wireType(k)
	return t != protowire.BytesType && t != protowire.StartGroupType
}

// enforcesUTF8 reports whether proto.Unmarshal refuses invalid UTF-8 in the field: in proto3, and in editions depending on a
// feature.
func enforcesUTF8(fd protoreflect.FieldDescriptor) bool {
	if fd.Syntax() == protoreflect.Editions {
		if f, ok := fd.(interface{ EnforceUTF8() bool }); ok {
			return f.EnforceUTF8()
		}
	}
	return fd.Syntax() == protoreflect.Proto3
}
