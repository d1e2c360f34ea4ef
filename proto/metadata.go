package proto

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// entry is one entry of the map field metadata. Of an eventstore.v1.Event, key and
// value are slices of the payload.
type entry struct{ key, value []byte }

// consumeEntry reads a map entry: a message with a key (1) and a value (2). A missing
// one is empty; of several, the last counts.
func consumeEntry(b, payload []byte) (entry, error) {
	var e entry
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 || num > protowire.MaxValidNumber {
			return entry{}, errMalformed("metadata", payload, b, n)
		}
		b = b[n:]
		if num > 2 || wire != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, wire, b); n < 0 {
				return entry{}, errMalformed("metadata", payload, b, n)
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return entry{}, errMalformed("metadata", payload, b, n)
		}
		if !utf8.Valid(v) {
			return entry{}, errNotUTF8("metadata")
		}
		if num == 1 {
			e.key = v
		} else {
			e.value = v
		}
		b = b[n:]
	}
	return e, nil
}

// object encodes the entries as a JSON object with sorted keys. Of several entries
// with the same key, the last counts.
func object(entries []entry) ([]byte, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	size := 2
	for _, e := range entries {
		size += len(e.key) + len(e.value) + len(`"":"",`)
	}
	out := append(make([]byte, 0, size), '{')
	for i, e := range entries {
		if i+1 < len(entries) && bytes.Equal(e.key, entries[i+1].key) {
			continue
		}
		switch {
		case !utf8.Valid(e.key) || !utf8.Valid(e.value): // possible in a mapped proto2 message
			return nil, errNotUTF8("metadata")
		case bytes.IndexByte(e.key, 0) >= 0 || bytes.IndexByte(e.value, 0) >= 0:
			return nil, errNUL("metadata")
		case len(e.key) > MaxJSONKey:
			return nil, &InvalidError{Field: "metadata", Reason: "has a key longer than " + strconv.Itoa(MaxJSONKey) + " bytes"}
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = appendString(out, e.key)
		out = append(out, ':')
		out = appendString(out, e.value)
	}
	return append(out, '}'), nil
}

// appendString appends valid UTF-8 as a JSON string. It escapes only what RFC 8259
// section 7 requires.
func appendString(out, s []byte) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	start := 0
	for i, c := range s {
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		out = append(out, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\t':
			out = append(out, '\\', 't')
		case '\r':
			out = append(out, '\\', 'r')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	out = append(out, s[start:]...)
	return append(out, '"')
}
