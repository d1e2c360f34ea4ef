package relay

import (
	"github.com/nats-io/nats.go"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// Tracer records the way of events to a stream.
type Tracer interface {
	// Relay begins the span of an event whose metadata name origin. It returns the trace that the message is to name, and what
	// ends the span.
	Relay(channel string, sequence uint64, origin proto.TraceContext, stream, subject, id string) (proto.TraceContext, func(error))
}

// The headers of W3C Trace Context.
const (
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
)

// spans are those of messages without an acknowledgement: what ends them, by sequence.
type spans map[uint64]func(error)

func (s spans) acknowledged(sequence uint64) {
	if end := s[sequence]; end != nil {
		end(nil)
		delete(s, sequence)
	}
}

// end ends the spans that are left, whose messages the stream did not acknowledge because of err.
func (s spans) end(err error) {
	for _, end := range s {
		end(err)
	}
}

// trace names the trace of an event in the headers of its message: that of its metadata or, with tracing, a span of its own.
// If the message would not fit into NATS' payload, it goes without.
func (r *Relay) trace(m *nats.Msg, e *event, open spans) {
	origin := e.TraceContext()
	if r.Tracer != nil {
		var end func(error)
		origin, end = r.Tracer.Relay(e.channel, e.sequence, origin, r.Stream, m.Subject, e.id())
		open[e.sequence] = end
	}
	if origin.Parent == "" {
		return
	}
	m.Header[headerTraceParent] = []string{origin.Parent}
	if origin.State != "" {
		m.Header[headerTraceState] = []string{origin.State}
	}
	if int64(m.Size()-len(m.Subject)) > r.streams.Conn().MaxPayload() {
		delete(m.Header, headerTraceParent)
		delete(m.Header, headerTraceState)
	}
}
