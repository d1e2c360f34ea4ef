package console

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
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

// contentsOf reads data by its content type, and by what it looks like.
func contentsOf(contentType string, data []byte) contents {
	c := contents{Size: uint64(len(data))}
	media, _, _ := mime.ParseMediaType(contentType)
	isProtobuf := strings.Contains(media, "protobuf") || strings.Contains(media, "x-proto")
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
