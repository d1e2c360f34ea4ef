package eventstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

// NewEvent is an event to append. Registry.New creates one from a value of a registered type.
type NewEvent struct {
	Channel                    string // event channel; if it is empty, that of the append
	ID                         string // event_id; Append generates a UUID if it is empty
	Type                       string
	AggregateType, AggregateID string
	Payload                    []byte // event_data
	ContentType                string
	Metadata                   map[string]string
	Tags                       []string  // what the event concerns beside its aggregate, such as "customer:c-9"
	OccurredAt                 time.Time // not sent if zero
	// Data is a value of a registered type that a Decider stores: it sets Type, Payload and ContentType, and adds the tags of
	// one that is Tagged.
	Data any
}

// Position is where an event was stored.
type Position struct {
	Sequence uint64 // in its channel
	Version  uint64 // in its aggregate
	Position uint64 // in the order of all events of all channels
}

// Append stores 1 to 1,000 events: all of them, or none. The events may belong to any aggregates, and to any channels: those
// that name none go to the given one. Events of one channel are stored in the given order, and the channels one after the
// other. Each aggregate may have at most one expectation, whether or not it has events in this append. When Append returns
// nil, the events are durable. The positions are in the order of events. Append adds to the metadata of each event what the
// context says, unless the event has it: its cause (WithCause, WithCorrelation), and traceparent and tracestate of the active
// span.
//
// The error is *ConflictError or *ConditionError if an expectation does not hold, ErrDuplicate, the server's error, or the
// reason why ctx ended. In the last case the events may be stored; it is always safe to append them again with the same IDs.
func (c *Client) Append(ctx context.Context, channel string, events []NewEvent, expectations ...Expectation) ([]Position, error) {
	request, order := newAppend(channel, withContext(ctx, events), expectations)
	positions := make([]Position, len(events))
	err := c.write(ctx, fmt.Sprintf("append %d events to channel %q", len(events), channel), func(ctx context.Context, server eventstorev1connect.EventStoreClient) error {
		response, err := server.Append(ctx, request)
		if err == nil && len(response.GetEvents()) != len(events) {
			err = fmt.Errorf("the server answered with %d positions", len(response.GetEvents()))
		}
		if err == nil {
			for i, at := range response.GetEvents() {
				positions[order[i]] = Position{at.GetSequence(), at.GetEventVersion(), at.GetPosition()}
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return positions, nil
}

// newAppend returns a request, and the index of each of its events among the given ones.
func newAppend(channel string, events []NewEvent, expectations []Expectation) (request *eventstorev1.AppendRequest, order []int) {
	request = &eventstorev1.AppendRequest{}
	var parts []*eventstorev1.ChannelEvents
	indexes := map[*eventstorev1.ChannelEvents][]int{}
	of := func(name string) *eventstorev1.ChannelEvents {
		name = cmp.Or(name, channel)
		for _, p := range parts {
			if p.GetChannel() == name {
				return p
			}
		}
		parts = append(parts, &eventstorev1.ChannelEvents{Channel: name})
		return parts[len(parts)-1]
	}
	for i, e := range events {
		if e.ID == "" {
			e.ID = uuid.NewString() // makes a repeated call idempotent
		}
		part := of(e.Channel)
		part.Events = append(part.Events, e.message())
		indexes[part] = append(indexes[part], i)
	}
	for _, e := range expectations {
		if e.condition != nil {
			request.Conditions = append(request.Conditions, e.condition)
			continue
		}
		part := of(e.channel)
		part.Expectations = append(part.Expectations, e.expectation)
	}
	if len(parts) > 0 {
		request.Channel, request.Events, request.Expectations, request.More = parts[0].Channel, parts[0].Events, parts[0].Expectations, parts[1:]
	}
	for _, part := range parts {
		order = append(order, indexes[part]...)
	}
	return request, order
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

// addTags adds the tags that the event does not have.
func (e *NewEvent) addTags(tags []string) {
	for _, tag := range tags {
		if !slices.Contains(e.Tags, tag) {
			e.Tags = append(slices.Clip(e.Tags), tag) // the array may be the caller's
		}
	}
}
