package test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// The parts of a protobuf message.

func field(n protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), value)
}

func number(n protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), value)
}

// different returns a field n times, each with a text of its own.
func different(field protowire.Number, n int) (b []byte) {
	for i := range n {
		b = protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), fmt.Sprint(i))
	}
	return b
}

func fixed64(n protowire.Number) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, n, protowire.Fixed64Type), 1)
}

func fixed32(n protowire.Number) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(nil, n, protowire.Fixed32Type), 1)
}

func group(n protowire.Number, inner []byte) []byte {
	b := append(protowire.AppendTag(nil, n, protowire.StartGroupType), inner...)
	return protowire.AppendTag(b, n, protowire.EndGroupType)
}

// nested returns groups nested to a depth.
func nested(depth int) (b []byte) {
	for range depth {
		b = protowire.AppendTag(b, 20, protowire.StartGroupType)
	}
	for range depth {
		b = protowire.AppendTag(b, 20, protowire.EndGroupType)
	}
	return b
}

// The fields of eventstore.v1.Event.
const (
	eventID       protowire.Number = 1
	eventType     protowire.Number = 2
	aggregateID   protowire.Number = 3
	aggregateType protowire.Number = 4
	eventData     protowire.Number = 5
	stream        protowire.Number = 6
	eventVersion  protowire.Number = 7
	metadata      protowire.Number = 8
	occurredAt    protowire.Number = 9
	contentType   protowire.Number = 10
	tags          protowire.Number = 11
)

// whole returns an event with additional fields.
func whole(more ...[]byte) []byte {
	return slices.Concat(append([][]byte{field(eventType, "T"), field(aggregateID, "A")}, more...)...)
}

func entry(key, value string) []byte {
	return field(metadata, string(slices.Concat(field(1, key), field(2, value))))
}

// unique puts the event into an aggregate of its own. It prepends the aggregate, so that the kind's own fields, which
// come later, override it.
func (h hostile) unique(i int) []byte {
	if h.channel != "" || len(h.payload) == 0 {
		return h.payload
	}
	return slices.Concat(field(aggregateType, fmt.Sprintf("kind-%d", i)), h.payload)
}

// hostiles are the kinds of bad and unusual input.
func hostiles() []hostile {
	bad := func(name, want string, payload ...[]byte) hostile {
		return hostile{name: name, want: want, payload: slices.Concat(payload...)}
	}
	odd := func(name string, payload ...[]byte) hostile {
		return hostile{name: name, payload: slices.Concat(payload...)}
	}
	all := []hostile{
		// Not an event.
		bad("empty payload", "aggregate_id is missing"),
		bad("bytes that are not protobuf", "not an eventstore.v1.Event", []byte("\xff\xff\xff\xff")),
		bad("text", "not an eventstore.v1.Event", []byte("hello, world")),
		bad("JSON instead of protobuf", "not an eventstore.v1.Event", []byte(`{"aggregate_id":"A","event_type":"T"}`)),
		bad("zeros", "not an eventstore.v1.Event", make([]byte, 1000)),
		bad("a tag and nothing", "is truncated", whole(protowire.AppendTag(nil, eventData, protowire.BytesType))),
		bad("half a tag", "truncated at byte", whole([]byte{0x80})),
		bad("a value shorter than its length", "is truncated", whole([]byte{0x2a, 10, 'x'})),
		bad("half a number", "is truncated", whole([]byte{0x38, 0x80})),
		bad("half a fixed number", "is truncated", whole([]byte{0x39, 1, 2, 3})),
		bad("a length of 2^63", "is truncated", whole([]byte{0x2a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01})),
		bad("a length of 2^64-1", "is truncated", whole([]byte{0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})),
		bad("a length of more than 64 bits", "malformed", whole([]byte{0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})),
		bad("field number 0", "malformed", whole([]byte{0x02, 1, 'x'})),
		bad("a field number beyond the highest", "malformed", whole(protowire.AppendVarint(nil, 1<<32|2), []byte{0})),
		bad("wire type 6", "malformed", whole([]byte{5<<3 | 6, 0})),
		bad("wire type 7", "malformed", whole([]byte{5<<3 | 7, 0})),
		bad("a group that does not end", "is truncated", whole([]byte{20<<3&0x7f | 3 | 0x80, 1})),
		bad("the end of a different group", "malformed", whole(protowire.AppendTag(protowire.AppendTag(nil, 20, protowire.StartGroupType), 21, protowire.EndGroupType))),
		bad("the end of no group", "malformed", whole(protowire.AppendTag(nil, 20, protowire.EndGroupType))),
		bad("many empty entries of metadata", "metadata has more than 10000 entries", whole(bytes.Repeat(field(metadata, ""), 200_000))),
		bad("groups nested too deep", "malformed", whole(nested(20_000))),

		// Unusual, but an event.
		odd("a group of unknown content", whole(group(20, number(1, 5)))),
		odd("groups nested deep", whole(nested(1000))),
		odd("an unknown field", whole(field(100, "future"))),
		odd("the highest field number", whole(field(protowire.MaxValidNumber, "x"))),
		odd("a thousand unknown fields", whole(slices.Repeat(number(99, 1), 1000))),
		odd("numbers written with more bytes than they need", whole([]byte{0x38, 0x81, 0x80, 0x80, 0x00})),
		odd("stream", whole(field(stream, "ignored"))),
		odd("fields in reverse order", field(eventData, "{}"), field(aggregateID, "A"), field(eventType, "T")),
		bad("a time that no clock shows", "occurred_at is out of range", whole(field(occurredAt, string(slices.Concat(number(1, math.MaxUint64), number(2, math.MaxUint64)))))),
		bad("a time after the year 9999", "occurred_at is out of range", whole(field(occurredAt, string(number(1, 253402300800))))),
		odd("an empty time", whole(field(occurredAt, ""))),
		bad("a time that is not a message", "occurred_at is truncated", whole(field(occurredAt, "\x08"))),

		// Versions.
		odd("version 0", whole(number(eventVersion, 0))),
		odd("version 1", whole(number(eventVersion, 1))),
		bad("version 2 of a new aggregate", "wrong expected version: aggregate \"A\" is at version 0, event has version 2", whole(number(eventVersion, 2))),
		bad("version 2^31", "is at version 0, event has version 2147483648", whole(number(eventVersion, 1<<31))),
		bad("version 2^63-1", "is at version 0, event has version 9223372036854775807", whole(number(eventVersion, math.MaxInt64))),
		bad("version 2^63", "event_version is out of range", whole(number(eventVersion, 1<<63))),
		bad("version 2^64-1", "event_version is out of range", whole(number(eventVersion, math.MaxUint64))),
		bad("a version of more than 64 bits", "event_version is malformed", whole([]byte{0x38, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})),
		odd("two versions, the last counts", whole(number(eventVersion, 7), number(eventVersion, 1))),
		bad("two versions, the last is wrong", "event has version 7", whole(number(eventVersion, 1), number(eventVersion, 7))),
		odd("a version as text", whole(field(eventVersion, "7"))),
		odd("a version as fixed64", whole(fixed64(eventVersion))),
		odd("a version as fixed32", whole(fixed32(eventVersion))),

		// Missing fields, and fields of the wrong type, which are unknown fields.
		bad("no aggregate_id", "aggregate_id is missing", field(eventType, "T")),
		bad("an empty aggregate_id", "aggregate_id is missing", whole(field(aggregateID, ""))),
		bad("no event_type", "event_type is missing", field(aggregateID, "A")),
		bad("an empty event_type", "event_type is missing", whole(field(eventType, ""))),
		bad("aggregate_id as a number", "aggregate_id is missing", field(eventType, "T"), number(aggregateID, 7)),
		bad("aggregate_id as a group", "aggregate_id is missing", field(eventType, "T"), group(aggregateID, nil)),
		bad("event_type as fixed64", "event_type is missing", field(aggregateID, "A"), fixed64(eventType)),
		odd("event_id as a number", whole(number(eventID, 7))),
		odd("event_data as a number", whole(number(eventData, 7))),
		odd("event_data as a group", whole(group(eventData, field(1, "x")))),
		odd("metadata as a number", whole(number(metadata, 7))),
		odd("occurred_at as a number", whole(number(occurredAt, 7))),
		odd("aggregate_id twice", whole(field(aggregateID, "B"))),
		odd("event_id twice", whole(field(eventID, "first"), field(eventID, "second"))),
		bad("content_type that is not UTF-8", "content_type is not valid UTF-8", whole(field(contentType, "\xff"))),
		bad("stream that is not UTF-8", "stream is not valid UTF-8", whole(field(stream, "\xc0\x80"))),
		bad("an identifier in invalid, then in valid UTF-8", "aggregate_id is not valid UTF-8", field(aggregateID, "\xff"), whole()),

		// Tags.
		bad("a tag with NUL", `invalid event: tags contain "a\x00b" with a control character: remove it`, whole(field(tags, "a\x00b"))),
		bad("a tag of two lines", `tags contain "a\nb" with a control character: remove it`, whole(field(tags, "a\nb"))),
		bad("an empty tag", "tags contain an empty tag: leave it out", whole(field(tags, "a"), field(tags, ""))),
		bad("a tag of 256 bytes", "of 256 bytes: shorten it to 255", whole(field(tags, strings.Repeat("x", 256)))),
		bad("a tag that is not UTF-8", `tags contain "\xff", which is not valid UTF-8: encode tags as UTF-8`, whole(field(tags, "\xff"))),
		bad("65 tags", "tags contain more than 64: keep those that readers ask for", whole(different(tags, 65))),
		odd("64 tags", whole(different(tags, 64))),
		odd("64 tags, each twice", whole(different(tags, 64), different(tags, 64))),
		odd("a tag of 255 bytes", whole(field(tags, strings.Repeat("é", 127)+"x"))),
		odd("tags as a number", whole(number(tags, 7))),

		// Metadata.
		odd("empty metadata entry", whole(field(metadata, ""))),
		odd("metadata without a value", whole(field(metadata, string(field(1, "k"))))),
		odd("metadata with an empty key", whole(entry("", "v"))),
		odd("a metadata key twice", whole(entry("k", "1"), entry("k", "2"))),
		odd("metadata that JSON must escape", whole(entry("\"\\\b\n\x01\x1f\u2028", "\"\\/\t\r\x7f\ufffd"))),
		odd("metadata with names of JavaScript", whole(entry("__proto__", "constructor"))),
		odd("metadata in all scripts", whole(entry("ключ", "値 \U0001F4E6"))),
		odd("ten thousand entries of metadata", whole(func() (b []byte) {
			for i := range 10_000 {
				b = append(b, entry(fmt.Sprint("k", i), "v")...)
			}
			return b
		}())),
		odd("a metadata value of 500 kB", whole(entry("k", strings.Repeat("v", 500_000)))),
		odd("a metadata key of 65535 bytes", whole(entry(strings.Repeat("k", 65535), "v"))),
		bad("a metadata key of 65536 bytes", "metadata", whole(entry(strings.Repeat("k", 65536), "v"))),
		bad("NUL in a metadata key", "metadata contains a NUL byte", whole(entry("\x00", "v"))),
		bad("NUL in a metadata value", "metadata contains a NUL byte", whole(entry("k", "v\x00"))),
		bad("a metadata key that is not UTF-8", "metadata is not valid UTF-8", whole(entry("\xff", "v"))),
		bad("a metadata value that is not UTF-8", "metadata is not valid UTF-8", whole(entry("k", "\xed\xa0\x80"))),
		bad("a metadata entry that is not a message", "metadata is truncated", whole(field(metadata, "\x0a\x05k"))),
	}

	// Identifiers.
	for _, id := range []struct {
		name  string
		field protowire.Number
	}{{"event_id", eventID}, {"event_type", eventType}, {"aggregate_id", aggregateID}, {"aggregate_type", aggregateType}} {
		of := func(value string) []byte { return whole(field(id.field, value)) }
		all = append(all,
			odd(id.name+" of 255 bytes", of(strings.Repeat("x", 255))),
			odd(id.name+" of 255 bytes in 128 characters", of("x"+strings.Repeat("é", 127))),
			bad(id.name+" of 256 bytes", id.name+" is longer than 255 bytes", of(strings.Repeat("x", 256))),
			bad(id.name+" of 500 kB", id.name+" is longer than 255 bytes", of(strings.Repeat("x", 500_000))),
			bad(id.name+" with NUL", id.name+" contains a NUL byte", of("a\x00b")),
			bad(id.name+" with a byte that is not UTF-8", id.name+" is not valid UTF-8", of("a\xffb")),
			bad(id.name+" with half a surrogate pair", id.name+" is not valid UTF-8", of("\xed\xa0\x80")),
			bad(id.name+" with an overlong NUL", id.name+" is not valid UTF-8", of("\xc0\x80")),
			bad(id.name+" cut within a character", id.name+" is not valid UTF-8", of("\xf0\x9f\x93")),
			odd(id.name+" with SQL injection", of(`'; DROP TABLE Messages; -- "\%_$1?`)),
			odd(id.name+" of control characters", of("\x01\t\r\n\x1b\x7f\u0085\u200b\ufeff")),
			odd(id.name+" of one space", of(" ")),
			odd(id.name+" beyond the basic plane", of("\U0001F4E6\U0010FFFF")),
		)
	}

	// Data.
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, d := range []struct {
		name, data string
		form       form
	}{
		{"empty", "", asNull},
		{"of spaces", "  \n", asBase64},
		{"null", "null", asJSON},
		{"a number", "-0.5e-3", asJSON},
		{"a string", `"text"`, asJSON},
		{"JSON with spaces around", " {\"a\" : 1}\n", asJSON},
		{"JSON with a byte order mark", "\ufeff{}", asBase64},
		{"two documents", "{}{}", asBase64},
		{"an unfinished document", `{"a":`, asBase64},
		{"a trailing comma", `[1,]`, asBase64},
		{"single quotes", `{'a':1}`, asBase64},
		{"a comment", `{} // x`, asBase64},
		{"NaN", "NaN", asBase64},
		{"a leading zero", "01", asBase64},
		{"a key twice", `{"a":1,"a":2}`, asJSON},
		{"an empty key", `{"":1}`, asJSON},
		{"a key of 65535 bytes", `{"` + strings.Repeat("k", 65535) + `":1}`, asJSON},
		{"a key of 65536 bytes", `{"` + strings.Repeat("k", 65536) + `":1}`, asBase64},
		{"an escaped NUL", `{"a":"\u0000"}`, asBase64},
		{"a NUL", "{\"a\":\"\x00\"}", asBase64},
		{"a control character", "{\"a\":\"\x01\"}", asBase64},
		{"half a surrogate pair", `"\ud800"`, asBase64},
		{"a surrogate pair in wrong order", `"\udc00\ud800"`, asBase64},
		{"a surrogate pair", `"\ud83d\ude00"`, asJSON},
		{"no UTF-8", "\"\xff\"", asBase64},
		{"a noncharacter", "\"\uffff\"", asJSON},
		{"an unknown escape", `"\x41"`, asBase64},
		{"nested 31 deep", deep(31), asJSON},
		{"nested 32 deep", deep(32), byDatabase},
		{"nested 1000 deep", deep(1000), byDatabase},
		{"nested 1001 deep", deep(1001), asBase64},
		{"nested 500000 deep", deep(500_000), asBase64},
		{"an opened array and no more", strings.Repeat("[", 500_000), asBase64},
		{"1e308", "1e308", asJSON},
		{"1e309", "1e309", asBase64},
		{"1e-400", "1e-400", asBase64},
		{"1e999999999", "1e999999999", asBase64},
		{"a number of 300 digits", strings.Repeat("9", 300), asJSON},
		{"a number of 500000 digits", strings.Repeat("9", 500_000), asBase64},
		{"a string of 500 kB", `"` + strings.Repeat("x", 500_000) + `"`, asJSON},
		{"100000 elements", "[" + strings.Repeat("0,", 99_999) + "0]", asJSON},
		{"every byte", everyByte, asBase64},
		{"text with SQL injection", `"'; DROP TABLE Messages; --"`, asJSON},
		{"base64 as a string", `"/wA="`, asJSON},
	} {
		h := odd("data: "+d.name, whole(field(eventData, d.data)))
		h.data = d.form
		all = append(all, h)
	}
	all = append(all, odd("event_data twice", whole(field(eventData, "not JSON"), field(eventData, "{}"))))
	all[len(all)-1].data = asJSON

	// Replies and channels.
	for name, reply := range map[string]string{
		"a reply of 1 kB": strings.Repeat("r", 1024), "a reply with NUL": "a\x00b", "a reply that is not UTF-8": "\xff", "a reply with spaces and line ends": "a b\r\nPUB x 0\r\n",
	} {
		all = append(all, hostile{name: name, reply: reply, payload: whole()})
	}
	for _, c := range []struct{ name, channel, want string }{
		{"a channel with an empty token", "eventstore..a", "stan: invalid publish request"},
		{"a channel that begins with a dot", ".a", "stan: invalid publish request"},
		{"a channel that ends with a dot", "a.", "stan: invalid publish request"},
		{"a channel with *", "eventstore.*", "stan: invalid publish request"},
		{"a channel with * within a token", "eventstore.a*", "stan: invalid publish request"},
		{"a channel with >", "eventstore.>", "stan: invalid publish request"},
		{"a channel with a slash", "eventstore/a", "stan: invalid publish request"},
		{"a channel that differs from another by letter case", strings.ToUpper(orders[:1]) + orders[1:], "different cases not allowed"},
		{"a channel in other scripts", "eventstore.заказы.注文.\U0001F4E6", ""},
		{"a channel with quotes", `eventstore.'"\%_;--`, ""},
		{"a channel with NUL", "eventstore.a\x00b", "stan: invalid publish request"},
		{"a channel that is not UTF-8", "eventstore.\xff", "stan: invalid publish request"},
		{"a channel of 1024 characters", "eventstore." + strings.Repeat("x", 1013), ""},
		{"a channel of 1025 characters", "eventstore." + strings.Repeat("x", 1014), "stan: invalid publish request"},
	} {
		all = append(all, hostile{name: c.name, channel: c.channel, payload: whole(), want: c.want})
	}
	return all
}

var everyByte = func() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}()
