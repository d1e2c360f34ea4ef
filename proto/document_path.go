package proto

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// parsePath returns the names in a path such as $.order.id or $['order.id'], RFC 9535's notation for a single member. $ is
// the document itself, without names.
func parsePath(text string) ([]string, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, errors.New(`must begin with $., such as $.order.id; a text for all events is "= text"`)
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return nil, errors.New("the path must be valid UTF-8 without NUL bytes")
	}
	var names []string
	for rest != "" {
		name := ""
		var err error
		if rest[0] == '.' {
			name, rest = dottedName(rest[1:])
		} else if name, rest, err = quotedName(rest); err != nil {
			return nil, err
		}
		if name == "" {
			return nil, errors.New("a name is missing")
		}
		names = append(names, name)
	}
	if len(names) > maxDepth {
		return nil, fmt.Errorf("the path has more than %d names", maxDepth)
	}
	return names, nil
}

// dottedName cuts a name that ends before the next dot or bracket.
func dottedName(text string) (name, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool {
		return strings.ContainsRune(".[]'\"*@?()", r) || unicode.IsSpace(r) || unicode.IsControl(r)
	})
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

// quotedName cuts a name in brackets and quotes, such as ['order.id'].
func quotedName(text string) (name, rest string, err error) {
	for _, quote := range []string{"'", `"`} {
		if after, ok := strings.CutPrefix(text, "["+quote); ok {
			name, rest, ok = strings.Cut(after, quote+"]")
			if !ok || strings.ContainsAny(name, `\'"`) {
				return "", "", fmt.Errorf("%q is not a quoted name", text)
			}
			return name, rest, nil
		}
	}
	if strings.HasPrefix(text, "[") {
		return "", "", fmt.Errorf("%q is not a member: a source must have a single value, so it cannot be in a list", text)
	}
	return "", "", fmt.Errorf("%q is not the name of a member: write it as ['name'] if it is one", text)
}

// shownPath is a path as documentation and errors show it.
func shownPath(names []string) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, name := range names {
		if end, _ := dottedName(name); end == name {
			b.WriteString("." + name)
		} else {
			b.WriteString("['" + name + "']")
		}
	}
	return b.String()
}

// node is a value to find: the document, or a member on the way to a source.
type node struct {
	name     string
	index    int // in documentScan.found
	children []*node

	tags      []int // sources of tags at the node or below it
	attribute bool  // of a CloudEvent that is not an extension
}

func (n *node) child(name []byte) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.children {
		if c.name == string(name) {
			return c
		}
	}
	return nil
}
