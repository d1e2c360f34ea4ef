package console

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// showBytes bounds what a page shows of an event's data.
const showBytes = 256 << 10

// contents is data as a page shows it.
type contents struct {
	Kind string // what it was read as
	Text string
	Size uint64
	Cut  bool // the text is not all of it
}

// typeOf returns the name of the message type that an event's data may have; "" if none is known.
func (c *Console) typeOf(e *eventstorev1.Event) string {
	return c.opts.Types.TypeOf(e.GetContentType(), e.GetEventType())
}

// jsonOf returns an event's data, as JSON if it is a protobuf message of a known type.
func (c *Console) jsonOf(e *eventstorev1.Event) []byte {
	data := e.GetEventData()
	if name := c.typeOf(e); name != "" && !json.Valid(data) {
		if text, ok := c.opts.Types.JSON(name, data); ok {
			return text
		}
	}
	return data
}

// contentsOf reads data by its content type, by the type that it has if it is a protobuf message, and by what it looks like.
func (c *Console) contentsOf(contentType, message string, data []byte) contents {
	media, _, _ := mime.ParseMediaType(contentType)
	isProtobuf := strings.Contains(media, "protobuf") || strings.Contains(media, "x-proto")
	if len(data) > 0 && (isProtobuf || !json.Valid(data)) {
		if text, ok := c.opts.Types.JSON(message, data); ok {
			return contents{Kind: "protobuf message " + message + " as JSON", Text: prettyJSON(text), Size: uint64(len(data))}.bounded()
		}
	}
	return undescribed(data, isProtobuf)
}

// undescribed reads data by what it looks like.
func undescribed(data []byte, isProtobuf bool) contents {
	c := contents{Size: uint64(len(data))}
	switch {
	case len(data) == 0:
		c.Kind = "empty"
	case json.Valid(data) && !isProtobuf:
		c.Kind, c.Text = "JSON", prettyJSON(data)
	case utf8.Valid(data) && !isProtobuf:
		c.Kind, c.Text = "text", string(data)
	default:
		var b strings.Builder
		if protobufFields(&b, data, 0) {
			c.Kind, c.Text = "protobuf, by field numbers", b.String()
		} else {
			c.Kind, c.Text = "bytes", hex.Dump(data[:min(len(data), showBytes/4)])
			c.Cut = len(data) > showBytes/4
		}
	}
	return c.bounded()
}

// bounded returns contents with at most the beginning of a long text.
func (c contents) bounded() contents {
	if len(c.Text) > showBytes {
		c.Text, c.Cut = strings.ToValidUTF8(c.Text[:showBytes], ""), true
	}
	return c
}

// maxNesting bounds the messages within messages that protobufFields looks into.
const maxNesting = 10

// protobufFields writes the fields of an encoded message, of which nothing but the encoding is known, and reports whether it is one.
func protobufFields(to *strings.Builder, data []byte, depth int) bool {
	indent := strings.Repeat("  ", depth)
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(data)
			if n < 0 {
				return false
			}
			fmt.Fprintf(to, "%s%d: %d\n", indent, field, v)
			data = data[n:]
		case protowire.Fixed32Type:
			v, n := protowire.ConsumeFixed32(data)
			if n < 0 {
				return false
			}
			fmt.Fprintf(to, "%s%d: 0x%08x\n", indent, field, v)
			data = data[n:]
		case protowire.Fixed64Type:
			v, n := protowire.ConsumeFixed64(data)
			if n < 0 {
				return false
			}
			fmt.Fprintf(to, "%s%d: 0x%016x\n", indent, field, v)
			data = data[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(data)
			if n < 0 {
				return false
			}
			protobufBytes(to, indent, field, v, depth)
			data = data[n:]
		default:
			return false
		}
		if to.Len() > showBytes {
			return true
		}
	}
	return true
}

// protobufBytes writes a field that is text, a message or bytes.
func protobufBytes(to *strings.Builder, indent string, field protowire.Number, v []byte, depth int) {
	printable := utf8.Valid(v) && !strings.ContainsFunc(string(v), func(r rune) bool { return hides(r) })
	var inner strings.Builder
	switch {
	case printable:
		fmt.Fprintf(to, "%s%d: %q\n", indent, field, v)
	case depth < maxNesting && protobufFields(&inner, v, depth+1):
		fmt.Fprintf(to, "%s%d: {\n%s%s}\n", indent, field, inner.String(), indent)
	default:
		fmt.Fprintf(to, "%s%d: 0x%x\n", indent, field, v)
	}
}
