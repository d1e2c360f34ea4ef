// Package relay publishes events to JetStream streams: each event once, in the order of its channel.
package relay

import (
	"fmt"
	"slices"
	"strings"
)

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

// MatchesAnyType reports whether an event type matches one of the patterns. Without patterns, every type matches.
func MatchesAnyType(patterns []string, eventType string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return MatchesType(p, eventType) })
}
