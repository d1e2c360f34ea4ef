// Package relay publishes events to JetStream streams: each event once, in the order of its channel.
package relay

import (
	"slices"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// MatchesAnyType reports whether an event type matches one of the patterns. Without patterns, every type matches.
func MatchesAnyType(patterns []string, eventType string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return stores.MatchesType(p, eventType) })
}
