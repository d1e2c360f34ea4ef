package relay

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/nats-eventstore/nats-eventstore/proto"
)

// headerTime is when a message that is not an event was stored. An event has that in its own headers.
const headerTime = "Nats-Streaming-Time"

// Stored is a message of a channel, for streams that are filled once.
type Stored struct {
	Event              *proto.Event // nil if the message is not an event
	Cluster, Channel   string
	Sequence, Position uint64
	Time               time.Time // when it was stored
	Payload            []byte
}

// Message converts a stored message for a stream of its channel alone. Its Nats-Msg-Id is the event_id if there is one, as in what
// applications publish to the stream afterwards: the stream then recognizes an event that is published again.
func (r *Route) Message(s *Stored) *nats.Msg {
	if s.Event == nil {
		return &nats.Msg{Subject: r.Subject.fill(&proto.Event{}, s.Channel, notInSubjects), Header: s.headers(), Data: s.Payload}
	}
	e := &event{
		Event: *s.Event, cluster: s.Cluster, channel: s.Channel, sequence: s.Sequence, position: s.Position, timestamp: s.Time.UnixNano(), payload: s.Payload,
	}
	m := &nats.Msg{Subject: r.Subject.subject(e), Header: e.headers(r.Headers), Data: e.payload}
	if r.DataOnly {
		m.Data = e.Data
	}
	m.Header.Set(jetstream.MsgIDHeader, s.ID())
	if origin := e.TraceContext(); origin.Parent != "" {
		m.Header.Set(headerTraceParent, origin.Parent)
		if origin.State != "" {
			m.Header.Set(headerTraceState, origin.State)
		}
	}
	return m
}

// ID is the Nats-Msg-Id of the message. Only on event channels, whose messages have positions, is an event_id there once.
func (s *Stored) ID() string {
	e := &event{cluster: s.Cluster, channel: s.Channel, sequence: s.Sequence}
	if s.Event != nil && s.Position > 0 {
		return cmp.Or(escapeHeader(s.Event.ID), e.id())
	}
	return e.id()
}

func (s *Stored) headers() nats.Header {
	h := s.Origin()
	h.Set(jetstream.MsgIDHeader, s.ID())
	h.Set(headerTime, s.Time.UTC().Format(time.RFC3339Nano))
	return h
}

// Origin returns the headers that name where a message is stored.
func (s *Stored) Origin() nats.Header {
	return nats.Header{
		headerCluster:  {escapeHeader(s.Cluster)},
		headerChannel:  {escapeHeader(s.Channel)},
		headerSequence: {strconv.FormatUint(s.Sequence, 10)},
	}
}

// Has reports whether headers name the cluster, channel and sequence of a message.
func (s *Stored) Has(h nats.Header) bool {
	for name, values := range s.Origin() {
		if h.Get(name) != values[0] {
			return false
		}
	}
	return true
}

// MaxSubject is the longest subject of a message in bytes.
const MaxSubject = maxSubject

// In returns the template for the events of one channel.
func (t Template) In(channel string) Template {
	var one Template
	for _, parts := range t.tokens {
		if parts[0].field != fieldChannel {
			one.tokens = append(one.tokens, parts)
			continue
		}
		for token := range strings.SplitSeq(escapeTokens(channel, notInSubjects), ".") {
			one.tokens = append(one.tokens, []part{{literal: token}})
		}
	}
	return one
}

// NamesType reports whether each type of event has a subject of its own.
func (t Template) NamesType() bool {
	for _, parts := range t.tokens {
		if parts[0].field == fieldType {
			return true
		}
	}
	return false
}
