package proto

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// identifier returns the text of an identifier column, empty if the payload has none.
func (m *messages) identifier(s *scanner, c column) (string, error) {
	src, slot := &m.sources[c], &s.slots[c]
	text := ""
	switch src.kind {
	case sourceText, sourceMessage:
		return src.text, nil
	case sourceOneof:
		if slot.field != nil {
			text = string(slot.field.Name())
		}
	case sourceOneofType:
		if slot.field != nil {
			text = string(slot.field.Message().Name())
		}
	case sourceField:
		fd := src.path[len(src.path)-1]
		if isMissing(fd, slot) {
			return "", nil
		}
		text = scalarText(fd, slot.value)
	}
	switch {
	case !utf8.ValidString(text):
		return "", errNotUTF8(columnNames[c]) // proto2 does not check UTF-8
	case len(text) > MaxIdentifier:
		return "", errTooLong(columnNames[c], MaxIdentifier)
	case strings.IndexByte(text, 0) >= 0:
		return "", errNUL(columnNames[c])
	}
	return text, nil
}

// isMissing reports whether the payload has no value for an identifier. A field without presence is missing if it is zero.
// The zero value of an enum is missing only if its name ends with UNSPECIFIED, the convention of protobuf's style guide.
func isMissing(fd protoreflect.FieldDescriptor, s *slot) bool {
	if s.field == nil && fd.HasPresence() {
		return true
	}
	switch fd.Kind() {
	case protoreflect.StringKind, protoreflect.BytesKind:
		return len(s.value.bytes) == 0
	case protoreflect.EnumKind:
		if int32(s.value.bits) != 0 {
			return false
		}
		zero := fd.Enum().Values().ByNumber(0)
		return zero != nil && strings.HasSuffix(string(zero.Name()), "UNSPECIFIED")
	default:
		return !fd.HasPresence() && isZero(fd.Kind(), s.value.bits)
	}
}

// scalarText returns the text form of a scalar:
//   - strings unchanged, integers in decimal, booleans as true or false;
//   - floating-point numbers in the shortest form that parses to the same value;
//   - enum values by name, or by number if unknown;
//   - 16 bytes as a UUID (RFC 9562), other bytes in lower-case hexadecimal.
func scalarText(fd protoreflect.FieldDescriptor, v value) string {
	switch kind := fd.Kind(); kind {
	case protoreflect.StringKind:
		return string(v.bytes)
	case protoreflect.BytesKind:
		text := hex.EncodeToString(v.bytes)
		if len(v.bytes) == 16 {
			text = text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
		}
		return text
	case protoreflect.EnumKind:
		number := protoreflect.EnumNumber(int32(v.bits))
		if known := fd.Enum().Values().ByNumber(number); known != nil {
			return string(known.Name())
		}
		return strconv.Itoa(int(number))
	case protoreflect.BoolKind:
		return strconv.FormatBool(v.bits != 0)
	case protoreflect.FloatKind:
		return strconv.FormatFloat(float64(math.Float32frombits(uint32(v.bits))), 'g', -1, 32)
	case protoreflect.DoubleKind:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64)
	default:
		if n, ok := signed(kind, v.bits); ok {
			return strconv.FormatInt(n, 10)
		}
		return strconv.FormatUint(unsigned(kind, v.bits), 10)
	}
}

// version returns event_version, 0 if the server assigns it.
func (m *messages) version(s *scanner) (uint64, error) {
	slot := &s.slots[columnVersion]
	if slot.field == nil {
		return 0, nil
	}
	kind := slot.field.Kind()
	version := unsigned(kind, slot.value.bits)
	if n, ok := signed(kind, slot.value.bits); ok {
		version = uint64(n) // a negative number is out of range below
	}
	if version > math.MaxInt64 {
		return 0, ErrVersionRange
	}
	return version, nil
}

func isInteger(k protoreflect.Kind) bool {
	switch k {
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return true
	}
	_, ok := signed(k, 0)
	return ok
}

// signed returns the value of a signed integer from its bits on the wire, false for other kinds.
func signed(k protoreflect.Kind, bits uint64) (int64, bool) {
	switch k {
	case protoreflect.Int32Kind, protoreflect.Sfixed32Kind:
		return int64(int32(bits)), true
	case protoreflect.Sint32Kind:
		return int64(int32(protowire.DecodeZigZag(bits & math.MaxUint32))), true
	case protoreflect.Int64Kind, protoreflect.Sfixed64Kind:
		return int64(bits), true
	case protoreflect.Sint64Kind:
		return protowire.DecodeZigZag(bits), true
	}
	return 0, false
}

// unsigned returns the value of an unsigned integer from its bits on the wire.
func unsigned(k protoreflect.Kind, bits uint64) uint64 {
	if k == protoreflect.Uint32Kind || k == protoreflect.Fixed32Kind {
		return uint64(uint32(bits))
	}
	return bits
}

func isZero(k protoreflect.Kind, bits uint64) bool {
	if n, ok := signed(k, bits); ok {
		return n == 0
	}
	return unsigned(k, bits) == 0
}

// integerField is the most bytes that appendInteger appends: a tag and a varint.
const integerField = 5 + 10

// appendInteger appends an integer field. If the field's type is too small for n, it appends nothing and returns false.
func appendInteger(b []byte, fd protoreflect.FieldDescriptor, n uint64) ([]byte, bool) {
	kind := fd.Kind()
	limit := uint64(math.MaxUint64)
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		limit = math.MaxInt32
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		limit = math.MaxUint32
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		limit = math.MaxInt64
	}
	if n > limit {
		return b, false
	}
	b = protowire.AppendTag(b, fd.Number(), wireType(kind))
	switch kind {
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return protowire.AppendVarint(b, protowire.EncodeZigZag(int64(n))), true
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind:
		return protowire.AppendFixed32(b, uint32(n)), true
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind:
		return protowire.AppendFixed64(b, n), true
	}
	return protowire.AppendVarint(b, n), true
}
