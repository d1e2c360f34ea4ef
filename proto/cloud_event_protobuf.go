package proto

import (
	"bytes"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Field numbers of io.cloudevents.v1.CloudEvent and, in attributes, of its CloudEventAttributeValue.
const (
	cloudID         protowire.Number = 1
	cloudSource     protowire.Number = 2
	cloudVersion    protowire.Number = 3
	cloudType       protowire.Number = 4
	cloudAttributes protowire.Number = 5
	cloudBinary     protowire.Number = 6
	cloudText       protowire.Number = 7
	cloudProto      protowire.Number = 8

	cloudBoolean      protowire.Number = 1
	cloudInteger      protowire.Number = 2
	cloudString       protowire.Number = 3
	cloudBytes        protowire.Number = 4
	cloudURI          protowire.Number = 5
	cloudURIReference protowire.Number = 6
	cloudTimestamp    protowire.Number = 7
)

// isDocument reports whether a CloudEvent is in the JSON format. White space may come first, of which a line break is also
// the tag of the protobuf field id; but an event in protobuf has a source, whose tag is never in JSON. Nor does protobuf begin
// with a byte order mark, which has the wire type 7.
func isDocument(payload []byte) bool {
	start := skipSpace(payload, 0)
	return start == len(payload) || bytes.HasPrefix(payload, byteOrderMark) || payload[start] == '{' && (start == 0 || bytes.IndexByte(payload, byte(cloudSource<<3|2)) < 0)
}

// document returns the JSON form of a CloudEvent.
func (c *cloudEvents) document(payload []byte, maxAttributes int) ([]byte, error) {
	if isDocument(payload) {
		return payload, nil
	}
	if payload[skipSpace(payload, 0)] == '[' && storable(payload, maxDepth) {
		return nil, c.invalid("it is a list: publish each event of a batch as a message of its own")
	}
	p := cloudProtobuf{payload: payload, maxAttributes: maxAttributes}
	if err := p.scan(); err != nil {
		return nil, err
	}
	for i := range p.attributes {
		switch a := &p.attributes[i]; {
		case slices.Contains(ownFields, string(a.name)):
			return nil, c.invalid(string(a.name) + " is among the attributes, but has a field of its own")
		case a.kind == cloudTimestamp && !a.time.IsValid():
			return nil, c.invalid("an attribute is not a valid Timestamp")
		}
	}
	return c.json(&p), nil
}

// ownFields are the members of the JSON format that in protobuf are not attributes.
var ownFields = []string{"id", "source", "specversion", "type", "data", "data_base64"}

// cloudProtobuf is a CloudEvent in the protobuf format.
type cloudProtobuf struct {
	payload       []byte
	maxAttributes int

	required   [cloudType + 1][]byte // by field
	attributes []cloudAttribute
	data       protowire.Number // the field that is set; 0 without one
	content    []byte           // of data; that of a google.protobuf.Any for cloudProto
	any        cloudAny
}

type cloudAttribute struct {
	name []byte
	cloudValue
}

// cloudValue is a CloudEventAttributeValue.
type cloudValue struct {
	kind protowire.Number // the field that is set; 0 without one
	bits uint64
	text []byte
	time *timestamppb.Timestamp
}

type cloudAny struct{ url, value []byte }

// scan reads the payload. It treats the wire format as proto.Unmarshal does.
func (p *cloudProtobuf) scan() error {
	return p.fields(p.payload, func(num protowire.Number, v value, wire protowire.Type) error {
		if wire != protowire.BytesType {
			return nil
		}
		switch num {
		case cloudID, cloudSource, cloudVersion, cloudType:
			if !utf8.Valid(v.bytes) {
				return errNotUTF8([...]string{cloudID: "id", cloudSource: "source", cloudVersion: "spec_version", cloudType: "type"}[num])
			}
			p.required[num] = v.bytes
		case cloudAttributes:
			if len(p.attributes) >= p.maxAttributes {
				return ErrMetadataEntries
			}
			var a cloudAttribute
			if err := p.attribute(v.bytes, &a); err != nil {
				return err
			}
			p.attributes = append(p.attributes, a)
		case cloudBinary, cloudText:
			if num == cloudText && !utf8.Valid(v.bytes) {
				return errNotUTF8("text_data")
			}
			p.data, p.content, p.any = num, v.bytes, cloudAny{}
		case cloudProto:
			p.data, p.content = num, nil
			return p.fields(v.bytes, func(num protowire.Number, v value, wire protowire.Type) error {
				switch {
				case wire != protowire.BytesType:
				case num == 1 && !utf8.Valid(v.bytes):
					return errNotUTF8("proto_data")
				case num == 1:
					p.any.url = v.bytes
				case num == 2:
					p.any.value = v.bytes
				}
				return nil
			})
		}
		return nil
	})
}

// fields calls each with the fields of a message, which is a part of the payload.
func (p *cloudProtobuf) fields(b []byte, each func(protowire.Number, value, protowire.Type) error) error {
	for len(b) > 0 {
		num, wire, n := protowire.ConsumeTag(b)
		if n < 0 || num > protowire.MaxValidNumber {
			return p.malformed(b)
		}
		b = b[n:]
		var v value
		switch wire {
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			v.bits, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, wire, b)
		}
		if n < 0 {
			return p.malformed(b)
		}
		if err := each(num, v, wire); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (p *cloudProtobuf) malformed(rest []byte) error {
	return &InvalidError{Reason: "not a valid CloudEvent: it is not a JSON object, and as io.cloudevents.v1.CloudEvent malformed at byte " +
		strconv.Itoa(cap(p.payload)-cap(rest))}
}

func (p *cloudProtobuf) attribute(b []byte, a *cloudAttribute) error {
	return p.fields(b, func(num protowire.Number, v value, wire protowire.Type) error {
		switch {
		case wire != protowire.BytesType:
		case num == 1 && !utf8.Valid(v.bytes):
			return errNotUTF8("attributes")
		case num == 1:
			a.name = v.bytes
		case num == 2:
			return p.value(v.bytes, &a.cloudValue)
		}
		return nil
	})
}

func (p *cloudProtobuf) value(b []byte, to *cloudValue) error {
	return p.fields(b, func(num protowire.Number, v value, wire protowire.Type) error {
		switch num {
		case cloudBoolean, cloudInteger:
			if wire == protowire.VarintType {
				*to = cloudValue{kind: num, bits: v.bits}
			}
		case cloudString, cloudBytes, cloudURI, cloudURIReference:
			if wire != protowire.BytesType {
				return nil
			}
			if num != cloudBytes && !utf8.Valid(v.bytes) {
				return errNotUTF8("attributes")
			}
			*to = cloudValue{kind: num, text: v.bytes}
		case cloudTimestamp:
			if wire != protowire.BytesType {
				return nil
			}
			if to.kind != num {
				*to = cloudValue{kind: num, time: &timestamppb.Timestamp{}}
			}
			if mergeTimestamp(to.time, v.bytes, p.payload) != nil {
				return p.malformed(v.bytes)
			}
		}
		return nil
	})
}

// appendJSON appends the value as JSON.
func (v *cloudValue) appendJSON(out []byte) []byte {
	switch v.kind {
	case cloudBoolean:
		return strconv.AppendBool(out, v.bits != 0)
	case cloudInteger:
		return strconv.AppendInt(out, int64(int32(v.bits)), 10)
	case cloudString, cloudURI, cloudURIReference:
		return appendString(out, v.text)
	case cloudBytes:
		return append(out, base64JSON(v.text)...)
	case cloudTimestamp:
		return append(v.time.AsTime().AppendFormat(append(out, '"'), time.RFC3339Nano), '"')
	}
	return append(out, "null"...)
}

// json returns the JSON format of the event. Data that is JSON, or a message of a known type, is a JSON value.
func (c *cloudEvents) json(p *cloudProtobuf) []byte {
	out := make([]byte, 0, 2*len(p.payload)+64)
	out = append(out, '{')
	name := func(name string) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(appendString(out, []byte(name)), ':')
	}
	for num, attribute := range [...]string{cloudID: "id", cloudSource: "source", cloudVersion: "specversion", cloudType: "type"} {
		if num > 0 && len(p.required[num]) > 0 {
			name(attribute)
			out = appendString(out, p.required[num])
		}
	}
	slices.SortStableFunc(p.attributes, func(a, b cloudAttribute) int { return bytes.Compare(a.name, b.name) })
	content, schema := "", false
	for i := range p.attributes {
		a := &p.attributes[i]
		if i+1 < len(p.attributes) && bytes.Equal(a.name, p.attributes[i+1].name) {
			continue // of several, the last counts
		}
		switch string(a.name) {
		case "datacontenttype":
			content = string(a.text)
		case "dataschema":
			schema = a.kind != 0
			if !schema {
				continue
			}
		}
		name(string(a.name))
		out = a.appendJSON(out)
	}
	data := p.content
	if p.data == cloudProto {
		data = p.any.value
		if doc, ok := c.known(&p.any); ok {
			name("data")
			return append(append(out, doc...), '}')
		}
		if !schema && len(p.any.url) > 0 {
			name("dataschema")
			out = appendString(out, p.any.url)
		}
	}
	switch {
	case len(data) == 0:
	case p.data != cloudProto && (content == "" || isJSONType(content)) && storable(data, maxDepth-1):
		name("data")
		out = append(out, data...)
	default:
		name("data_base64")
		out = append(out, base64JSON(data)...)
	}
	return append(out, '}')
}

// known returns the JSON form of a message whose type is in the descriptor set.
func (c *cloudEvents) known(a *cloudAny) ([]byte, bool) {
	if c.messages == nil {
		return nil, false
	}
	typ, err := c.messages.types.FindMessageByURL(string(a.url))
	if err != nil {
		return nil, false
	}
	s := scanner{payload: a.value, left: maxFields}
	if s.message(a.value, typ.Descriptor(), nil, 1) != nil {
		return nil, false
	}
	doc, ok := c.messages.document(typ.Descriptor(), a.value)
	return doc, ok && storable(doc, maxDepth-1)
}

// appendVersion appends the extension to a payload in protobuf, where the last attribute of a name counts.
func (c *cloudEvents) appendVersion(payload []byte, version uint64) []byte {
	names := c.sources[columnVersion].names
	switch {
	case isDocument(payload):
		return c.documents.appendVersion(payload, version)
	case len(names) != 1:
		return payload
	}
	var v []byte
	if version <= 1<<31-1 {
		v = protowire.AppendVarint(protowire.AppendTag(v, cloudInteger, protowire.VarintType), version)
	} else { // an Integer has 32 bits
		v = protowire.AppendString(protowire.AppendTag(v, cloudString, protowire.BytesType), strconv.FormatUint(version, 10))
	}
	entry := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), names[0])
	entry = protowire.AppendBytes(protowire.AppendTag(entry, 2, protowire.BytesType), v)
	out := slices.Clone(payload)
	return protowire.AppendBytes(protowire.AppendTag(out, cloudAttributes, protowire.BytesType), entry)
}

func (c *cloudEvents) growth() int {
	const entry = 8 // the most that an attribute takes in protobuf beyond its JSON form
	if n := c.documents.growth(); n > 0 {
		return n + entry
	}
	return 0
}
