package streams

import (
	"encoding/json"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// eventOf returns the event of a message, or nil if the message is not one.
func eventOf(r *eventstorev1.RecordedEvent) *proto.Event {
	e := r.GetEvent()
	if e == nil {
		return nil
	}
	event := &proto.Event{
		ID: e.GetEventId(), Type: e.GetEventType(), AggregateType: e.GetAggregateType(), AggregateID: e.GetAggregateId(), Version: e.GetEventVersion(),
		Data: e.GetEventData(), Tags: e.GetTags(),
	}
	if len(e.GetMetadata()) > 0 {
		event.Metadata, _ = json.Marshal(e.GetMetadata()) // a map of texts has no error
	}
	return event
}
