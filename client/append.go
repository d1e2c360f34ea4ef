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

// NewEvent is an event to be appended. Registry.New makes one of a registered type.
type NewEvent struct {
	ID                         string // "": Append makes one, a UUID
	Type                       string
	AggregateType, AggregateID string
	Payload                    []byte // event_data
	ContentType                string
	Metadata                   map[string]string
	OccurredAt                 time.Time // zero: not said
}

// Expectation is what must be true of an aggregate before anything of an append is stored.
type Expectation struct{ expectation *eventstorev1.Expectation }

// NoEvents expects that the aggregate has no events.
func NoEvents(aggregateType, aggregateID string) Expectation {
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_NONE, 0)
}

// Exists expects that the aggregate has events.
func Exists(aggregateType, aggregateID string) Expectation {
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_EXISTS, 0)
}

// AtVersion expects that the version is that of the aggregate's last event; 0 is NoEvents.
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
}

// Append stores 1 to 1,000 events on an event channel, of any aggregates: all of them, or none. Expectations name each
// aggregate at most once, those of the events or others. When it returns without an error the events are durable.
//
// The errors are *ConflictError if an aggregate is not as expected, ErrDuplicate, the server's refusal, or the reason
// why ctx ended: then the events may be stored. The same events with the same IDs can always be appended again.
func (c *Client) Append(ctx context.Context, channel string, events []NewEvent, expectations ...Expectation) ([]Position, error) {
	request := &eventstorev1.AppendRequest{Channel: channel}
	for _, e := range events {
		if e.ID == "" {
			e.ID = uuid.NewString() // the call may be made twice
		}
		request.Events = append(request.Events, e.message())
	}
	for _, e := range expectations {
		request.Expectations = append(request.Expectations, e.expectation)
	}
	var positions []Position
	err := c.do(ctx, fmt.Sprintf("append %d events to channel %q", len(events), channel), func(server eventstorev1connect.EventStoreClient) error {
		response, err := server.Append(ctx, request)
		if err == nil {
			for _, at := range response.GetEvents() {
				positions = append(positions, Position{at.GetSequence(), at.GetEventVersion()})
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
	}
	if !e.OccurredAt.IsZero() {
		message.OccurredAt = timestamppb.New(e.OccurredAt)
	}
	return message
}
