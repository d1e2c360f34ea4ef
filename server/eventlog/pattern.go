package eventlog

import (
	"strings"
	"unicode/utf8"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// maxChannelName is the longest channel name in characters, the width of its column.
const maxChannelName = 1024

// ValidChannel reports whether name is a valid channel name. A name has no '/', '*' or '>', no empty token, and only
// characters that every database can store.
func ValidChannel(name string) bool {
	if name == "" || strings.ContainsAny(name, "/*>\x00") || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxChannelName {
		return false
	}
	return name[0] != '.' && name[len(name)-1] != '.' && !strings.Contains(name, "..")
}

// ValidPattern reports whether p is a channel name in which any token may be *, and the last one may be >.
func ValidPattern(p string) bool {
	tokens := strings.Split(p, ".")
	for i, t := range tokens {
		switch {
		case t == "*" || t == ">" && i == len(tokens)-1:
		case !ValidChannel(t):
			return false
		}
	}
	return true
}

// Matches reports whether a channel name matches a valid pattern. As in NATS, > matches one or more tokens.
func Matches(pattern, name string) bool { return natsd.SubjectMatchesFilter(name, pattern) }

// Overlap reports whether some channel name matches both patterns, which are valid.
func Overlap(a, b string) bool { return natsd.SubjectsCollide(a, b) }

// Covers reports whether pattern a matches every channel that pattern b matches. Both are valid.
func Covers(a, b string) bool { return natsd.SubjectMatchesFilter(b, a) }
