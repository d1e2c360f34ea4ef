package eventlog

import (
	"strings"
	"unicode/utf8"

	natsd "github.com/nats-io/nats-server/v2/server"
)

// maxChannelName is the longest channel name in characters, the width of its column.
const maxChannelName = 1024

// ValidChannel reports whether name can name a channel. A name is not empty, has no '/', '*' or '>' and no empty token,
// and holds nothing that one of the databases cannot store.
func ValidChannel(name string) bool {
	if name == "" || strings.ContainsAny(name, "/*>\x00") || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxChannelName {
		return false
	}
	return name[0] != '.' && name[len(name)-1] != '.' && !strings.Contains(name, "..")
}

// ValidPattern reports whether p is a channel name in which any token may be * and the last one >.
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

// Matches reports whether a channel name matches a valid pattern. As in NATS, > stands for one or more tokens.
func Matches(pattern, name string) bool { return natsd.SubjectMatchesFilter(name, pattern) }

// Overlap reports whether some channel name matches both valid patterns.
func Overlap(a, b string) bool { return natsd.SubjectsCollide(a, b) }

// Covers reports whether the valid pattern a matches every channel that the valid pattern b matches.
func Covers(a, b string) bool { return natsd.SubjectMatchesFilter(b, a) }
