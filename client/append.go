package eventstore

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// NewEvent is an event to append. Registry.New creates one from a value of a registered type.
type NewEvent struct {
	ID                         string // event_id; Append generates a UUID if it is empty
	Type                       string
	AggregateType, AggregateID string
	Payload                    []byte // event_data
	ContentType                string
	Metadata                   map[string]string
	Tags                       []string  // what the event concerns beside its aggregate, such as "customer:c-9"
	OccurredAt                 time.Time // not sent if zero
}

// Expectation is a condition on an aggregate. An append stores its events only if all its expectations hold.
type Expectation struct{ expectation *eventstorev1.Expectation }

// NoEvents expects that the aggregate has no events.
func NoEvents(aggregateType, aggregateID string) Expectation {
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_NONE, 0)
}

// Exists expects that the aggregate has events.
func Exists(aggregateType, aggregateID string) Expectation {
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_EXISTS, 0)
}

// AtVersion expects that the aggregate's last event has this version. Version 0 means NoEvents.
func AtVersion(aggregateType, aggregateID string, version uint64) Expectation {
	if version == 0 {
		return NoEvents(aggregateType, aggregateID)
	}
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_VERSION, version)
}

func expect(aggregateType, aggregateID string, state eventstorev1.Expectation_State, version uint64) Expectation {
	return Expectation{&eventstorev1.Expectation{AggregateType: aggregateType, AggregateId: aggregateID, State: state, Version: version}}
}

// Position is where an event was stored.
type Position struct {
	Sequence uint64 // in its channel
	Version  uint64 // in its aggregate
	Position uint64 // in the order of all events of all channels
}

// Append stores 1 to 1,000 events on an event channel: all of them, or none. The events may belong to any aggregates.
// Each aggregate may have at most one expectation, whether or not it has events in this append. When Append returns nil,
// the events are durable.
//
// The error is *ConflictError if an expectation does not hold, ErrDuplicate, the server's error, or the reason why ctx
// ended. In the last case the events may be stored; it is always safe to append them again with the same IDs.
func (c *Client) Append(ctx context.Context, channel string, events []NewEvent, expectations ...Expectation) ([]Position, error) {
	request := &eventstorev1.AppendRequest{Channel: channel}
	for _, e := range events {
		if e.ID == "" {
			e.ID = uuid.NewString() // makes a repeated call idempotent
		}
		request.Events = append(request.Events, e.message())
	}
	for _, e := range expectations {
		request.Expectations = append(request.Expectations, e.expectation)
	}
	var positions []Position
	err := c.write(ctx, fmt.Sprintf("append %d events to channel %q", len(events), channel), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		response, err := server.Append(ctx, request)
		if err == nil {
			for _, at := range response.GetEvents() {
				positions = append(positions, Position{at.GetSequence(), at.GetEventVersion(), at.GetPosition()})
			}
		}
		return err
	})
	return positions, err
}

func (e *NewEvent) message() *eventstorev1.Event {
	message := &eventstorev1.Event{
		EventId:       e.ID,
		EventType:     e.Type,
		AggregateType: e.AggregateType,
		AggregateId:   e.AggregateID,
		EventData:     e.Payload,
		ContentType:   e.ContentType,
		Metadata:      e.Metadata,
		Tags:          e.Tags,
	}
	if !e.OccurredAt.IsZero() {
		message.OccurredAt = timestamppb.New(e.OccurredAt)
	}
	return message
}
