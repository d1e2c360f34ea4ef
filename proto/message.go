package proto

import (
	"encoding/json"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// Message returns an event that a Mapping read as an eventstore.v1.Event. In its metadata, strings are as they are, other
// values JSON.
func (e *Event) Message() *eventstorev1.Event {
	return &eventstorev1.Event{
		EventId: e.ID, EventType: e.Type, AggregateId: e.AggregateID, AggregateType: e.AggregateType, EventVersion: e.Version,
		EventData: e.Data, Metadata: metadataOf(e.Metadata), OccurredAt: e.Occurred, ContentType: e.ContentType, Tags: e.Tags,
	}
}

// metadataOf returns the members of a JSON object.
func metadataOf(object []byte) map[string]string {
	var members map[string]json.RawMessage
	if len(object) == 0 || json.Unmarshal(object, &members) != nil {
		return nil
	}
	metadata := make(map[string]string, len(members))
	for key, value := range members {
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		metadata[key] = text
	}
	return metadata
}
