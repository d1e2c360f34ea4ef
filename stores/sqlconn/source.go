package sqlconn

import (
	"regexp"
	"strings"
	"unicode"
)

// repeats reports whether a text about a source repeats a word of what stands before its last @, where the user and the
// password are. Where a password has characters that need escaping, a driver takes parts of it for something else.
func repeats(text, source string) bool {
	at := strings.LastIndex(source, "@")
	if at < 0 {
		return false
	}
	words := strings.FieldsFunc(source[:at], func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, word := range words {
		if len(word) >= 3 && strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// splitURL matches a URL whose password ends its authority, because a character in it was not escaped.
var splitURL = regexp.MustCompile(`^postgres(ql)?://[^@/?#]*[/?#][^@=]*@`)
