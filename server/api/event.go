package api

import (
	"cmp"
	"fmt"
	"time"

	"github.com/nats-io/stan.go/pb"
	googleproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// payloadOf returns the message as it was published, with the version that it was given.
func payloadOf(m stores.Message) ([]byte, error) {
	var msg pb.MsgProto
	if err := msg.Unmarshal(m.Data); err != nil {
		return nil, fmt.Errorf("message %d does not decode: %w", m.Sequence, err)
	}
	return msg.Data, nil
}

// recorded returns the event of a stored message. A payload without a version has that of the column.
func recorded(channel string, mapping *proto.Mapping, m stores.Message) (*eventstorev1.RecordedEvent, error) {
	var msg pb.MsgProto
	if err := msg.Unmarshal(m.Data); err != nil {
		return nil, fmt.Errorf("message %d of channel %q does not decode: %w", m.Sequence, channel, err)
	}
	r := &eventstorev1.RecordedEvent{Channel: channel, Sequence: m.Sequence, Position: m.Position, RecordedAt: timestamppb.New(time.Unix(0, m.Timestamp))}
	if mapping == nil {
		event := &eventstorev1.Event{}
		if googleproto.Unmarshal(msg.Data, event) == nil && event.GetEventType() != "" && event.GetAggregateId() != "" {
			if !event.OccurredAt.IsValid() {
				event.OccurredAt = nil // stored before it was an event channel; JSON cannot express such a time
			}
			event.Tags = proto.Tags(event.GetTags())
			event.EventVersion = cmp.Or(event.GetEventVersion(), m.Version)
			if m.Erased == 0 {
				event.Erased = nil // only the server says so
			}
			r.Event = event
			return r, nil
		}
		r.Payload = msg.Data // stored before the channel was an event channel
		return r, nil
	}
	r.Payload = msg.Data
	ev, err := mapping.Extract(msg.Data)
	if err != nil {
		return r, nil
	}
	ev.Version = cmp.Or(ev.Version, m.Version)
	r.Event = ev.Message()
	if m.Erased > 0 { // the mapping may find data, metadata or tags in the mark
		r.Event.EventData, r.Event.Metadata, r.Event.Tags, r.Event.ContentType, r.Event.OccurredAt = nil, nil, nil, "", nil
		r.Event.Erased = &eventstorev1.Erased{Erasure: m.Erased}
	}
	return r, nil
}
