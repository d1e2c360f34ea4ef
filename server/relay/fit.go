package relay

import (
	"math"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

const (
	// maxSubject is the longest subject in bytes. With the rest of its line it stays within the 4,096 bytes that are NATS'
	// default of max_control_line; the connection of a client that exceeds that is closed.
	maxSubject = 3900
	// versionBytes are the most that a version adds to the payload of an event that was published without one.
	versionBytes = 11
	// fewBytes of names, and roomBytes that they leave, fit in any case: what has less is not looked at more closely.
	fewBytes  = 512
	roomBytes = 32 << 10
	// ninth has as many digits as a time can have.
	ninth = 123456789
)

// Fits says whether the message of an event that is about to be stored can be sent, where NATS takes maxPayload bytes of
// headers and data. The relay would wait for good at one that does not fit.
func (r *Relay) Fits(channel string, ev *proto.Event, payload []byte, maxPayload int64) bool {
	names := len(r.Cluster) + len(channel) + len(ev.ID) + len(ev.Type) + len(ev.AggregateType) + len(ev.AggregateID)
	if names <= fewBytes && int64(len(payload)+roomBytes) <= maxPayload {
		return true
	}
	for i := range r.Routes {
		route := &r.Routes[i]
		if !route.From(channel) || !MatchesAnyType(route.Types, ev.Type) {
			continue
		}
		e := &event{Event: *ev, cluster: r.Cluster, channel: channel, sequence: math.MaxUint64, timestamp: ninth, payload: payload}
		e.Version = math.MaxInt64
		m := route.message(r.Stream, e, math.MaxUint64, e.id())
		return len(m.Subject) <= maxSubject && int64(m.Size()-len(m.Subject)+versionBytes) <= maxPayload
	}
	return true
}
