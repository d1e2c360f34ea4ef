package eventstore

import (
	"time"

	mapping "github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Event is a stored event.
type Event struct {
	ID                         string // event_id; may be empty
	Type                       string
	AggregateType, AggregateID string
	Version                    uint64 // position in the aggregate, starting at 1. Through NATS Streaming, 0 if the payload has no place for it
	Payload                    []byte // event_data, encoded as ContentType
	ContentType                string // set by the publisher; may be empty
	Metadata                   map[string]string
	Tags                       []string  // each once
	OccurredAt                 time.Time // by the publisher's clock; zero if not given

	Channel    string
	Sequence   uint64    // position in the channel, starting at 1
	Position   uint64    // position in the order of all events of all channels, starting at 1. Through NATS Streaming, 0
	RecordedAt time.Time // when the server stored the event
	// Deliveries is how often a Consumer was sent the event, this time included. Elsewhere it is 0.
	Deliveries int

	// Data is the Payload after Registry.Decode: a value of a registered type, upcast to its latest form. It is nil if
	// the event was not decoded.
	Data any
}

// FromRecorded converts an event that the API returned. Only programs that call the API by themselves need it.
func FromRecorded(r *eventstorev1.RecordedEvent) *Event {
	e := fromMessage(r.GetEvent())
	e.Channel, e.Sequence, e.Position, e.RecordedAt = r.GetChannel(), r.GetSequence(), r.GetPosition(), r.GetRecordedAt().AsTime()
	return e
}

// fromMessage converts an event and leaves its place in the log unset.
func fromMessage(e *eventstorev1.Event) *Event {
	event := &Event{
		ID:            e.GetEventId(),
		Type:          e.GetEventType(),
		AggregateType: e.GetAggregateType(),
		AggregateID:   e.GetAggregateId(),
		Version:       e.GetEventVersion(),
		Payload:       e.GetEventData(),
		ContentType:   e.GetContentType(),
		Metadata:      e.GetMetadata(),
		Tags:          mapping.Tags(e.GetTags()),
	}
	if e.GetOccurredAt() != nil {
		event.OccurredAt = e.GetOccurredAt().AsTime()
	}
	return event
}
