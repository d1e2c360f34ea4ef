package printable

import (
	"bytes"
	"encoding/json"
)

// indentWidth is how far a level of JSON is indented.
const indentWidth = 2

// Indent returns a JSON text with each member on a line of its own, or false if it is not JSON, or would have more than most bytes so:
// a line costs as much as it is deep, and a small text may have many deep ones.
func Indent(text []byte, most int) (string, bool) {
	if !json.Valid(text) || indented(text) > most {
		return "", false
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return "", false
	}
	return b.String(), true
}

// indented returns about how many bytes a valid JSON text has when it is indented, never fewer.
func indented(text []byte) (size int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		size++
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
			size++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
			size += 1 + indentWidth*depth
		case c == '}', c == ']':
			depth--
			size += 1 + indentWidth*depth
		case c == ',':
			size += 1 + indentWidth*depth
		case c == ':':
			size++
		}
	}
	return size
}
