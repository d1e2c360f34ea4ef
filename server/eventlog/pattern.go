package eventlog

import (
	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// ValidChannel is stores.ValidChannel.
func ValidChannel(name string) bool { return stores.ValidChannel(name) }

// ValidPattern is stores.ValidPattern.
func ValidPattern(p string) bool { return stores.ValidPattern(p) }

// Matches is stores.MatchesChannel.
func Matches(pattern, name string) bool { return stores.MatchesChannel(pattern, name) }

// Overlap reports whether some channel name matches both patterns, which are valid.
func Overlap(a, b string) bool { return natsd.SubjectsCollide(a, b) }

// Covers reports whether pattern a matches every channel that pattern b matches. Both are valid.
func Covers(a, b string) bool { return natsd.SubjectMatchesFilter(b, a) }
