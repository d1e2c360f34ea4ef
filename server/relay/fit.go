package relay

import (
	"math"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

const (
	// maxSubject is the longest subject in bytes. With the rest of its line, it fits into 4,096 bytes, the default
	// max_control_line of NATS. NATS closes the connection of a client that sends a longer line.
	maxSubject = 3900
	// An event whose names take at most shortNames and whose payload leaves spareBytes always fits, without a closer look.
	shortNames = 512
	spareBytes = 32 << 10
	// longTimestamp is a timestamp whose RFC 3339 form is as long as any.
	longTimestamp = 123456789
)

// Fits reports whether the relay can publish an event that is about to be stored, and whose payload an assigned version can
// make growth bytes longer; NATS accepts maxPayload bytes of headers and data. The relay would never get past an event that does not fit.
func (r *Relay) Fits(channel string, ev *proto.Event, payload []byte, growth int, maxPayload int64) bool {
	names := len(r.Cluster) + len(channel) + len(ev.ID) + len(ev.Type) + len(ev.AggregateType) + len(ev.AggregateID)
	for _, tag := range ev.Tags {
		names += len(headerTag) + len(": \r\n") + len(tag)
	}
	if names <= shortNames && int64(len(payload)+growth+spareBytes) <= maxPayload {
		return true
	}
	for i := range r.Routes {
		route := &r.Routes[i]
		if !route.From(channel) || !MatchesAnyType(route.Types, ev.Type) {
			continue
		}
		e := &event{Event: *ev, cluster: r.Cluster, channel: channel, sequence: math.MaxUint64, position: math.MaxUint64, timestamp: longTimestamp, payload: payload}
		e.Version = math.MaxInt64
		m := route.message(r.Stream, e, math.MaxUint64, e.id())
		return len(m.Subject) <= maxSubject && int64(m.Size()-len(m.Subject)+growth) <= maxPayload
	}
	return true
}
