package relay

import (
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Route selects events and says how the stream receives them.
type Route struct {
	From     func(channel string) bool
	Types    []string // patterns; empty: all types
	Subject  Template
	DataOnly bool // publish event_data without its envelope
	Headers  Headers
}

// message converts an event to a message that the stream accepts only after its sequence last. If before is set, the
// last message must also have that ID: after one message is refused, those behind it are refused, too.
func (r *Route) message(stream string, e *event, last uint64, before string) *nats.Msg {
	m := &nats.Msg{Subject: r.Subject.subject(e), Header: e.headers(r.Headers), Data: e.payload}
	if r.DataOnly {
		m.Data = e.Data
	}
	m.Header.Set(jetstream.ExpectedStreamHeader, stream)
	m.Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last, 10))
	if before != "" {
		m.Header.Set(jetstream.ExpectedLastMsgIDHeader, before)
	}
	return m
}
