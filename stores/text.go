package stores

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// storableText returns at most n bytes of a text for people, in a form that each database accepts.
func storableText(text string, n int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// encodeName returns a name in a form that each database accepts. Clients may send any bytes: what is not text becomes a quoted
// string of Go, and so does what begins like one.
func encodeName(name string) string {
	if strings.HasPrefix(name, `"`) || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return strconv.Quote(name)
	}
	return name
}

// DecodeName reads what encodeName returned.
func DecodeName(text string) (string, error) {
	if strings.HasPrefix(text, `"`) {
		return strconv.Unquote(text)
	}
	return text, nil
}
