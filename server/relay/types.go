// Package relay publishes events to streams of JetStream: each one once, in the order of its channel.
package relay

import (
	"fmt"
	"slices"
	"strings"
)

// ValidTypes says what is wrong with a pattern of event types. It consists of tokens separated by dots: * stands for any one
// token, a token that ends in * for any that begins like it, and > for the rest.
func ValidTypes(pattern string) error {
	tokens := strings.Split(pattern, ".")
	for i, t := range tokens {
		if t == "" || t == ">" && i < len(tokens)-1 || t != ">" && strings.ContainsAny(strings.TrimSuffix(t, "*"), "*>") {
			return fmt.Errorf("%q is no pattern of event types", pattern)
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

// MatchesAnyType reports whether an event type matches one of the patterns; without patterns, every type does.
func MatchesAnyType(patterns []string, eventType string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return MatchesType(p, eventType) })
}
