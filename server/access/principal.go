package access

import (
	"slices"

	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
)

// Right is what a principal may do with a channel.
type Right int

// The rights. Admin includes all others but Personal: who runs a server need not see whom its events are about.
const (
	Append Right = iota
	Read
	Consume
	Admin
	Personal // read encrypted fields
	rights   // their number
)

// String returns the right's key in the access file.
func (r Right) String() string {
	return [...]string{"append", "read", "consume", "admin", "personal"}[r]
}

// Principal is somebody whom the server knows. A nil Principal may do nothing.
type Principal struct {
	Name string
	// Monitor says that the principal may use the monitoring port.
	Monitor bool

	patterns [rights][]string
}

// Everything returns a principal that has all rights.
func Everything(name string) *Principal {
	p := &Principal{Name: name, Monitor: true}
	p.patterns[Admin], p.patterns[Personal] = []string{">"}, []string{">"}
	return p
}

// May reports whether the principal has a right on a channel.
func (p *Principal) May(right Right, channel string) bool {
	return p != nil && eventlog.ValidChannel(channel) && (p.has(right, channel) || right != Personal && p.has(Admin, channel))
}

// MaySome reports whether the principal has a right on some channel that a pattern may match.
func (p *Principal) MaySome(right Right, pattern string) bool {
	return p != nil && slices.ContainsFunc(slices.Concat(p.patterns[right], p.patterns[Admin]), func(own string) bool { return eventlog.Overlap(own, pattern) })
}

// MayAll reports whether the principal has a right on each channel that can match a pattern, or on one channel. One pattern of the
// access file must cover all of them.
func (p *Principal) MayAll(right Right, pattern string) bool {
	if eventlog.ValidChannel(pattern) {
		return p.May(right, pattern)
	}
	if p == nil || !eventlog.ValidPattern(pattern) {
		return false
	}
	covers := func(all string) bool { return eventlog.Covers(all, pattern) }
	return slices.ContainsFunc(p.patterns[right], covers) || slices.ContainsFunc(p.patterns[Admin], covers)
}

func (p *Principal) has(right Right, channel string) bool {
	return slices.ContainsFunc(p.patterns[right], func(pattern string) bool { return eventlog.Matches(pattern, channel) })
}
