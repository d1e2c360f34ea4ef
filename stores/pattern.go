package stores

import (
	"fmt"
	"strings"
	"unicode/utf8"
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

// MatchesChannel reports whether a channel name matches a valid pattern. As in NATS, * matches one token, and > matches
// one or more.
func MatchesChannel(pattern, name string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		n, restN, moreN := strings.Cut(name, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != n:
			return false
		case !moreP || !moreN:
			return moreP == moreN
		}
		pattern, name = restP, restN
	}
}

// ValidTypes returns an error if pattern is not a valid pattern of event types. A pattern has tokens separated by dots:
// * matches one token, a token that ends in * matches by prefix, and > matches the rest.
func ValidTypes(pattern string) error {
	tokens := strings.Split(pattern, ".")
	for i, t := range tokens {
		if t == "" || t == ">" && i < len(tokens)-1 || t != ">" && strings.ContainsAny(strings.TrimSuffix(t, "*"), "*>") {
			return fmt.Errorf("%q is not a pattern of event types", pattern)
		}
	}
	return nil
}

// MatchesType reports whether an event type matches a pattern.
func MatchesType(pattern, eventType string) bool {
	if pattern == eventType {
		return true
	}
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		t, restT, moreT := strings.Cut(eventType, ".")
		begin, any := strings.CutSuffix(p, "*")
		switch {
		case p == ">":
			return true
		case any && !strings.HasPrefix(t, begin), !any && p != t:
			return false
		case !moreP || !moreT:
			return moreP == moreT
		}
		pattern, eventType = restP, restT
	}
}
