package eventstore

import (
	"strconv"
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
	// Erased is the number of the erasure by which an administrator has erased the event, 0 if it is as it was published. Its identifiers,
	// type, version and place are left; Payload, Metadata and Tags are empty.
	Erased uint64
	// Deliveries is how often a Consumer was sent the event, this time included. Elsewhere it is 0.
	Deliveries int

	// Data is the Payload after Registry.Expand: a value of a registered type, upcast to its latest form. It is nil if
	// the event was not decoded.
	Data any

	part int // from 1, of the events that Registry.Expand made of one; 0 for a stored event
}

// Key identifies an event, for idempotency keys and keys of SQL rows. It is the ID or, of an event without one, the channel
// and the sequence: "eventstore.orders/42". It is never empty, and the same whenever and through whatever door the event
// is read. Of the events that UpcastMany made of one, the second and later ones have "#2", "#3", … in addition.
//
// IDs are unique in a channel. A key for the events of several channels whose publishers choose equal IDs needs the channel
// beside it.
func (e *Event) Key() string {
	key := e.ID
	if key == "" {
		key = e.Channel + "/" + strconv.FormatUint(e.Sequence, 10)
	}
	if e.part > 1 {
		key += "#" + strconv.Itoa(e.part)
	}
	return key
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
		Erased:        e.GetErased().GetErasure(),
	}
	if e.GetOccurredAt() != nil {
		event.OccurredAt = e.GetOccurredAt().AsTime()
	}
	return event
}
