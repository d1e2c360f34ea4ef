package proto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// documentScan checks a JSON document and finds values in it. Documents are not trusted: their depth and the number of
// their values are bounded, like those of messages. Unlike encoding/json it refuses names that occur twice, of which readers
// see one or the other, invalid UTF-8, and escapes that stand for NUL or half a character.
type documentScan struct {
	doc   []byte
	kind  string // what the document should be, for errors
	found []span // by node.index
	names [][]byte
	left  int // remaining number of maxFields; an object or a list counts as messageFields
	err   error

	// extensions, if not nil, collects the members of the document whose node is not an attribute, or that have none.
	extensions *[]member

	sources []memberSource // of tags
	tags    []tagValues    // by source
	lists   int            // around the value; in a list, only sources of tags are found
}

// span is a value in a document. The zero span is absent.
type span struct{ start, end, members int }

type member struct{ name, value []byte }

// scan finds the nodes below root. The document must be an object.
func (s *documentScan) scan(root *node, nodes int) error {
	s.found, s.left = make([]span, nodes), maxFields
	s.tags = make([]tagValues, len(s.sources))
	start := skipSpace(s.doc, 0)
	if start < len(s.doc) && s.doc[start] == '{' {
		if i := skipSpace(s.doc, s.value(start, root, 1)); s.err == nil && i < len(s.doc) {
			s.unexpected(i)
		}
		return s.err
	}
	if s.value(start, nil, 1); s.err == nil {
		s.refuse("it is not an object")
	}
	return s.err
}

func (s *documentScan) refuse(format string, args ...any) int {
	if s.err == nil {
		s.err = &InvalidError{Reason: "not a valid " + s.kind + ": " + fmt.Sprintf(format, args...)}
	}
	return len(s.doc)
}

// byteOrderMark is what some editors and libraries write in front of UTF-8. RFC 8259 section 8.1 forbids it in JSON.
var byteOrderMark = []byte("\uFEFF")

func (s *documentScan) unexpected(i int) int {
	if i >= len(s.doc) {
		return s.refuse("it ends too early")
	}
	r, n := utf8.DecodeRune(s.doc[i:])
	switch {
	case r == utf8.RuneError && n <= 1:
		return s.refuse("invalid UTF-8 at byte %d", i)
	case i == 0 && bytes.HasPrefix(s.doc, byteOrderMark):
		return s.refuse("it begins with a byte order mark: encode it as UTF-8 without one")
	}
	return s.refuse("unexpected %q at byte %d", r, i)
}

// Each method takes the index of the first byte of an element and returns the index after its last byte. After an error it
// returns the length of the document.

func (s *documentScan) value(i int, n *node, depth int) int {
	start := i
	if i >= len(s.doc) {
		return s.unexpected(i)
	}
	if s.left--; s.left < 0 {
		return s.refuse("it has too many values")
	}
	members := 0
	switch s.doc[i] {
	case '{':
		i, members = s.object(i+1, n, depth)
	case '[':
		i = s.list(i+1, n, depth)
	case '"':
		i = s.text(i)
	case 't':
		i = s.literal(i, "true")
	case 'f':
		i = s.literal(i, "false")
	case 'n':
		i = s.literal(i, "null")
	default:
		if _, _, end := scanNumeral(s.doc, i); end >= 0 {
			i = end
		} else {
			i = s.unexpected(i)
		}
	}
	if n != nil && s.lists == 0 {
		s.found[n.index] = span{start, i, members}
	}
	if n != nil && s.err == nil && len(s.tags) > 0 {
		s.tag(n, s.doc[start:i])
	}
	return i
}

func (s *documentScan) literal(i int, word string) int {
	if end := scanLiteral(s.doc, i, word); end >= 0 {
		return end
	}
	return s.unexpected(i)
}

func (s *documentScan) nest(depth int) bool {
	if s.left -= messageFields - 1; s.left < 0 {
		s.refuse("it has too many values")
	}
	if depth > maxDepth {
		s.refuse("it is nested deeper than %d", maxDepth)
	}
	return s.err == nil
}

func (s *documentScan) object(i int, n *node, depth int) (end, members int) {
	if !s.nest(depth) {
		return len(s.doc), 0
	}
	first := len(s.names)
	for i = skipSpace(s.doc, i); ; i = skipSpace(s.doc, i+1) {
		if i < len(s.doc) && s.doc[i] == '}' && len(s.names) == first {
			return i + 1, 0
		}
		if i >= len(s.doc) || s.doc[i] != '"' {
			return s.unexpected(i), 0
		}
		quoted := i
		if i = s.text(i); s.err != nil {
			return i, 0
		}
		name := unquote(s.doc[quoted:i])
		if s.names = append(s.names, name); len(s.names)-first <= fewNames && slices.ContainsFunc(s.names[first:len(s.names)-1], func(b []byte) bool { return bytes.Equal(b, name) }) {
			return s.twice(name), 0
		}
		if i = skipSpace(s.doc, i); i >= len(s.doc) || s.doc[i] != ':' {
			return s.unexpected(i), 0
		}
		below := n.child(name)
		start := skipSpace(s.doc, i+1)
		if i = s.value(start, below, depth+1); s.err != nil {
			return i, 0
		}
		if depth == 1 && s.extensions != nil && (below == nil || !below.attribute) {
			*s.extensions = append(*s.extensions, member{name, s.doc[start:i]})
		}
		if i = skipSpace(s.doc, i); i >= len(s.doc) || s.doc[i] != ',' && s.doc[i] != '}' {
			return s.unexpected(i), 0
		}
		if s.doc[i] == '}' {
			break
		}
	}
	names := s.names[first:]
	if members = len(names); members > fewNames {
		slices.SortFunc(names, bytes.Compare)
		for j := 1; j < members; j++ {
			if bytes.Equal(names[j-1], names[j]) {
				return s.twice(names[j]), 0
			}
		}
	}
	s.names = s.names[:first]
	return i + 1, members
}

// fewNames is up to how many names in one object are compared with each other. More are sorted.
const fewNames = 16

func (s *documentScan) twice(name []byte) int {
	return s.refuse("an object has two members %s", strconv.Quote(string(name[:min(len(name), 64)])))
}

func (s *documentScan) list(i int, n *node, depth int) int {
	if !s.nest(depth) {
		return len(s.doc)
	}
	if i = skipSpace(s.doc, i); i < len(s.doc) && s.doc[i] == ']' {
		return i + 1
	}
	if n != nil && (len(n.tags) == 0 || len(s.tags) == 0) {
		n = nil
	}
	s.lists++
	defer func() { s.lists-- }()
	for {
		if i = s.value(skipSpace(s.doc, i), n, depth+1); s.err != nil {
			return i
		}
		if i = skipSpace(s.doc, i); i >= len(s.doc) || s.doc[i] != ',' && s.doc[i] != ']' {
			return s.unexpected(i)
		}
		if s.doc[i] == ']' {
			return i + 1
		}
		i++
	}
}

// text scans a string, including its quotes.
func (s *documentScan) text(i int) int {
	if end := scanString(s.doc, i+1); end >= 0 {
		return end
	}
	for i++; i < len(s.doc); {
		switch c := s.doc[i]; {
		case c == '\\':
			end := scanEscape(s.doc, i+1)
			if r, ok := hex4(s.doc, i+2); end < 0 && ok && s.doc[i+1] == 'u' {
				if r == 0 {
					return s.refuse("a text contains a NUL byte, at byte %d", i)
				}
				return s.refuse("half a surrogate pair at byte %d", i)
			} else if end < 0 {
				return s.refuse("unknown escape at byte %d", i)
			}
			i = end
		case c == 0:
			return s.refuse("a text contains a NUL byte, at byte %d", i)
		case c < ' ':
			return s.unexpected(i)
		default:
			r, n := utf8.DecodeRune(s.doc[i:])
			if r == utf8.RuneError && n <= 1 {
				return s.unexpected(i)
			}
			i += n
		}
	}
	return s.unexpected(i)
}

// unquote returns the content of a valid JSON string: a slice of it, unless it has escapes.
func unquote(quoted []byte) []byte {
	content := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(content, '\\') < 0 {
		return content
	}
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return content // not reached: the string is valid
	}
	return []byte(text)
}
