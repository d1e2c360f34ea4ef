package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	googleproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxElements bounds the nested messages of a request, map entries included. Two encoded bytes can decode to hundreds
// of bytes.
const maxElements = 1 << 15

// codecs returns codecs that count a request's elements before they decode it.
func codecs() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithCodec(protoCodec{}),
		connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
	}
}

// protoCodec is the binary encoding. Like jsonCodec, it refuses unknown fields.
type protoCodec struct{}

// Name implements connect.Codec.
func (protoCodec) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (protoCodec) Marshal(m any) ([]byte, error) {
	message, ok := m.(googleproto.Message)
	if !ok {
		return nil, fmt.Errorf("encode: %T is not a protobuf message", m)
	}
	return googleproto.Marshal(message)
}

// Unmarshal implements connect.Codec.
func (protoCodec) Unmarshal(data []byte, m any) error {
	message, ok := m.(googleproto.Message)
	if !ok {
		return fmt.Errorf("decode: %T is not a protobuf message", m)
	}
	if elements(data, message.ProtoReflect().Descriptor(), maxElements) < 0 {
		return fmt.Errorf("the request has more than %d messages and map entries", maxElements)
	}
	if err := googleproto.Unmarshal(data, message); err != nil {
		return err
	}
	return refuseUnknown(message.ProtoReflect())
}

// elements subtracts the number of messages nested in b from left. The result is negative if there are too many. It
// stops at malformed bytes, which the decoder reports.
func elements(b []byte, d protoreflect.MessageDescriptor, left int) int {
	for len(b) > 0 && left >= 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return left
		}
		b = b[n:]
		value := b
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return left
		}
		b = b[n:]
		field := d.Fields().ByNumber(number)
		if field == nil || field.Message() == nil || kind != protowire.BytesType {
			continue
		}
		inner, _ := protowire.ConsumeBytes(value)
		left = elements(inner, field.Message(), left-1)
	}
	return left
}

// jsonCodec is the JSON encoding of protobuf.
type jsonCodec struct{ name string }

// Name implements connect.Codec.
func (c jsonCodec) Name() string { return c.name }

// Marshal implements connect.Codec. The output is compact: protojson adds spaces that differ between builds.
func (jsonCodec) Marshal(m any) ([]byte, error) {
	message, ok := m.(googleproto.Message)
	if !ok {
		return nil, fmt.Errorf("encode: %T is not a protobuf message", m)
	}
	spaced, err := protojson.Marshal(message)
	if err != nil {
		return nil, err
	}
	compact := bytes.NewBuffer(make([]byte, 0, len(spaced)))
	if err := json.Compact(compact, spaced); err != nil {
		return nil, err
	}
	return compact.Bytes(), nil
}

// Unmarshal implements connect.Codec. It refuses an empty body. It also refuses unknown fields: a misspelt eventData or
// expectations would be lost without a word.
func (jsonCodec) Unmarshal(data []byte, m any) error {
	message, ok := m.(googleproto.Message)
	if !ok {
		return fmt.Errorf("decode: %T is not a protobuf message", m)
	}
	if len(data) == 0 {
		return fmt.Errorf("decode: the body is empty, expected a JSON object")
	}
	if values(data) > maxElements {
		return fmt.Errorf("the request has more than %d JSON values", maxElements)
	}
	err := protojson.Unmarshal(data, message)
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "unknown field"):
		return fmt.Errorf("%w: check its spelling against %s", err, message.ProtoReflect().Descriptor().FullName())
	case strings.Contains(err.Error(), "for bytes field"):
		return fmt.Errorf("%w: write the bytes as a string in base64", err)
	}
	return err
}

// values estimates the number of values in a JSON text: it counts braces, brackets and commas outside strings.
func values(text []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '[' || c == ','):
			n++
		}
	}
	return n
}
