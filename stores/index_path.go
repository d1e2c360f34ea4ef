package stores

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jsonPath names one value in a JSON document. It is the part of the SQL path language that all databases understand: a
// $ followed by names of members and numbers of elements, such as $.order.lines[0]."unit price".
type jsonPath []jsonStep

// jsonStep is one step down: to a member of an object, or to an element of an array.
type jsonStep struct {
	name    string // "" for an element
	element int
}

// maxJSONPath bounds a path in bytes.
const maxJSONPath = 200

// parseJSONPath parses a path. Names in it cannot contain quotes, backslashes or control characters.
func parseJSONPath(text string) (jsonPath, error) {
	rest, ok := strings.CutPrefix(text, "$")
	switch {
	case !ok:
		return nil, errors.New("must begin with $")
	case rest == "":
		return nil, errors.New("names no member; write it like $.customer_id")
	case len(text) > maxJSONPath:
		return nil, fmt.Errorf("is longer than %d bytes", maxJSONPath)
	case !utf8.ValidString(text):
		return nil, errors.New("is not UTF-8")
	}
	var path jsonPath
	for rest != "" {
		var step jsonStep
		var err error
		switch {
		case strings.HasPrefix(rest, `."`):
			step.name, rest, err = quotedName(rest[2:])
		case rest[0] == '.':
			step.name, rest, err = plainName(rest[1:])
		case rest[0] == '[':
			step.element, rest, err = elementNumber(rest[1:])
		default:
			err = fmt.Errorf("has %q where it needs a . or [", rest)
		}
		if err != nil {
			return nil, err
		}
		path = append(path, step)
	}
	return path, nil
}

func quotedName(text string) (name, rest string, err error) {
	name, rest, ok := strings.Cut(text, `"`)
	switch {
	case !ok:
		return "", "", errors.New("has an unclosed quote")
	case name == "":
		return "", "", errors.New("has an empty name")
	case strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || !unicode.IsPrint(r) }):
		return "", "", fmt.Errorf("has a backslash or an unprintable character in the name %q", name)
	}
	return name, rest, nil
}

func plainName(text string) (name, rest string, err error) {
	end := 0
	for end < len(text) && isPlain(text[end], end == 0) {
		end++
	}
	if end == 0 {
		return "", "", fmt.Errorf(`has no name before %q (quote a name with characters other than letters, digits and _, as in ."name")`, text)
	}
	if end < len(text) && text[end] != '.' && text[end] != '[' {
		return "", "", fmt.Errorf(`has %q after a name (quote a name with characters other than letters, digits and _, as in ."name")`, text[end:])
	}
	return text[:end], text[end:], nil
}

func isPlain(c byte, first bool) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' && !first
}

func elementNumber(text string) (number int, rest string, err error) {
	digits, rest, ok := strings.Cut(text, "]")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil || strconv.FormatUint(n, 10) != digits {
		return 0, "", fmt.Errorf("needs the number of an element, 0 to 65535, after [ in %q", "["+text)
	}
	return int(n), rest, nil
}

// String returns the path as MySQL, MariaDB and SQLite read it, with quotes only around names that need them.
func (p jsonPath) String() string {
	text := "$"
	for _, step := range p {
		switch {
		case step.name == "":
			text += "[" + strconv.Itoa(step.element) + "]"
		case step.isPlain():
			text += "." + step.name
		default:
			text += `."` + step.name + `"`
		}
	}
	return text
}

func (s jsonStep) isPlain() bool {
	for i := range len(s.name) {
		if !isPlain(s.name[i], i == 0) {
			return false
		}
	}
	return true
}

// plain reports whether all names are plain, so that the slug identifies the path.
func (p jsonPath) plain() bool {
	for _, step := range p {
		if step.name == "" || !step.isPlain() {
			return false
		}
	}
	return true
}

// slug returns the path with letters, digits and _ only.
func (p jsonPath) slug() string {
	text := strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && isPlain(byte(r), false) {
			return r
		}
		return '_'
	}, strings.TrimLeft(p.String(), "$.["))
	return strings.TrimRight(text, "_")
}

const hashLength = 8

// hash distinguishes paths with the same slug.
func (p jsonPath) hash() string {
	sum := sha256.Sum256([]byte(p.String()))
	return hex.EncodeToString(sum[:])[:hashLength]
}
