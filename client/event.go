package eventstore

import (
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Event is an event of the log.
type Event struct {
	ID                         string // event_id, "" if it has none
	Type                       string
	AggregateType, AggregateID string
	Version                    uint64 // place in its aggregate, 1 for the first
	Payload                    []byte // event_data, in the encoding of ContentType
	ContentType                string // as its publisher says, often ""
	Metadata                   map[string]string
	OccurredAt                 time.Time // by the publisher's clock; zero if it does not say

	Channel    string
	Sequence   uint64    // place in its channel, 1 for the first
	RecordedAt time.Time // when the server stored it

	// Data is Payload decoded by a Registry and brought up to date by its upcasters: the value of a registered type. nil
	// before, and if the type is unknown and that is accepted.
	Data any
}

// received is an event as the API tells it.
func received(r *eventstorev1.RecordedEvent) *Event {
	e := decoded(r.GetEvent())
	e.Channel, e.Sequence, e.RecordedAt = r.GetChannel(), r.GetSequence(), r.GetRecordedAt().AsTime()
	return e
}

// decoded is an event without its place.
func decoded(e *eventstorev1.Event) *Event {
	event := &Event{
		ID:            e.GetEventId(),
		Type:          e.GetEventType(),
		AggregateType: e.GetAggregateType(),
		AggregateID:   e.GetAggregateId(),
		Version:       e.GetEventVersion(),
		Payload:       e.GetEventData(),
		ContentType:   e.GetContentType(),
		Metadata:      e.GetMetadata(),
	}
	if e.GetOccurredAt() != nil {
		event.OccurredAt = e.GetOccurredAt().AsTime()
	}
	return event
}
