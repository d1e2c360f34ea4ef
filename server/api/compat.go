package api

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"

	"connectrpc.com/connect"
	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Two services of other event stores, built on the same calls.

// eventStore implements eventstore.EventStore.
type eventStore struct{ *service }

// CreateEvent implements eventstore.EventStore.
func (s eventStore) CreateEvent(ctx context.Context, req *eventstore.CreateEventRequest) (*eventstore.CreateEventResponse, error) {
	if err := s.create(ctx, req.GetEvent()); err != nil {
		return nil, err
	}
	return &eventstore.CreateEventResponse{IsSuccess: true}, nil
}

// GetEvents implements eventstore.EventStore.
func (s eventStore) GetEvents(ctx context.Context, req *eventstore.GetEventsRequest) (*eventstore.GetEventsResponse, error) {
	resp := &eventstore.GetEventsResponse{}
	err := s.findAll(ctx, req, resp, func(e *eventstore.Event) { resp.Events = append(resp.Events, e) })
	return resp, err
}

// GetEventsStream implements eventstore.EventStore.
func (s eventStore) GetEventsStream(ctx context.Context, req *eventstore.GetEventsRequest, stream *connect.ServerStream[eventstore.Event]) error {
	return status(s.find(ctx, req, stream.Send))
}

// pbEventStore implements pb.EventStore.
type pbEventStore struct{ *service }

// CreateEvent implements pb.EventStore.
func (s pbEventStore) CreateEvent(ctx context.Context, req *pb.Event) (*pb.Response, error) {
	err := s.create(ctx, &eventstore.Event{
		EventId: req.GetEventId(), EventType: req.GetEventType(), AggregateId: req.GetAggregateId(),
		AggregateType: req.GetAggregateType(), EventData: req.GetEventData(), Stream: req.GetChannel(),
	})
	if err != nil {
		return nil, err
	}
	return &pb.Response{IsSuccess: true}, nil
}

// GetEvents implements pb.EventStore.
func (s pbEventStore) GetEvents(ctx context.Context, req *pb.EventFilter) (*pb.EventResponse, error) {
	resp := &pb.EventResponse{}
	filter := &eventstore.GetEventsRequest{EventId: req.GetEventId(), AggregateId: req.GetAggregateId()}
	err := s.findAll(ctx, filter, resp, func(e *eventstore.Event) {
		resp.Events = append(resp.Events, &pb.Event{
			EventId: e.EventId, EventType: e.EventType, AggregateId: e.AggregateId,
			AggregateType: e.AggregateType, EventData: e.EventData, Channel: e.Stream,
		})
	})
	return resp, err
}

// create stores an event. Its error carries a code: callers of the two services look at the status, not all of them at
// is_success, and would take OK for a stored event.
func (s *service) create(ctx context.Context, e *eventstore.Event) error {
	if e == nil {
		return invalid("the event is missing")
	}
	events, err := encode(&eventstorev1.Event{
		EventId: e.GetEventId(), EventType: e.GetEventType(), AggregateId: e.GetAggregateId(),
		AggregateType: e.GetAggregateType(), EventData: []byte(e.GetEventData()), Stream: e.GetStream(),
	})
	if err != nil {
		return err
	}
	settle(ctx, memoryOf(events, nil, nil))
	log, err := s.leading(ctx)
	if err != nil {
		return status(err)
	}
	name, dataTo, err := s.destinations(log, e.GetStream())
	if err != nil {
		return status(err)
	}
	events[0].DataTo = dataTo
	ch, err := log.open(ctx, name, access.Append)
	if err != nil {
		return status(err)
	}
	events[0].To = ch
	_, err = log.append(ctx, events, &stores.Group{})
	return appendStatus(name, err)
}

// destinations returns the channel that stores an event, and the plain channel that gets its data, or "". Field 6 of the
// event says where to publish: a stream that routes fill gets the event from there, and an event channel stores it.
func (s *service) destinations(log guarded, field6 string) (channel, dataTo string, err error) {
	if field6 == "" || log.fillsStream(field6) {
		return s.defaultChannel, "", nil
	}
	switch _, err := log.channel(field6, access.Append); {
	case err == nil, errors.Is(err, ErrUnknownChannel):
		return field6, "", nil
	case errors.Is(err, ErrNoEventChannel):
		return s.defaultChannel, field6, nil
	default:
		return "", "", err
	}
}

// findAll is find for a single response of bounded size.
func (s *service) findAll(ctx context.Context, req *eventstore.GetEventsRequest, resp googleproto.Message, add func(*eventstore.Event)) error {
	size := 0
	return status(s.find(ctx, req, func(e *eventstore.Event) error {
		const framing = 8 // bytes around an element of a repeated field
		if size += googleproto.Size(e) + framing; size > s.maxMessage {
			googleproto.Reset(resp)
			return connect.NewError(connect.CodeResourceExhausted,
				fmt.Errorf("the events take more than %d bytes: select an aggregate, or use the streaming method", s.maxMessage))
		}
		add(e)
		return nil
	}))
}

// find calls f with the events that a request selects.
func (s *service) find(ctx context.Context, req *eventstore.GetEventsRequest, f func(*eventstore.Event) error) error {
	log, err := s.reading(ctx)
	if err != nil {
		return err
	}
	switch {
	case req.GetEventId() != "":
		return findByID(ctx, log, req, f)
	case req.GetAggregateId() != "":
		return findByAggregate(ctx, log, req.GetAggregateId(), f)
	}
	for _, ch := range log.channels(access.Read) {
		if err := allEvents(ctx, ch, f); err != nil {
			return err
		}
	}
	return nil
}

// allEvents calls f with the events of a channel.
func allEvents(ctx context.Context, ch Channel, f func(*eventstore.Event) error) error {
	info := ch.Info()
	cursor := ch.Cursor(info.First)
	defer cursor.Close()
	b := &responses{send: func(events []*eventstorev1.RecordedEvent, _ uint64) error { return eachEvent(events, f) }}
	if err := scan(ctx, ch, cursor, info.Last, selection{}, b); err != nil {
		return err
	}
	return b.flush()
}

func findByID(ctx context.Context, log guarded, req *eventstore.GetEventsRequest, f func(*eventstore.Event) error) error {
	all, err := log.eventsWithID(ctx, req.GetEventId())
	if err != nil {
		return err
	}
	for _, e := range all {
		ch, err := log.channel(e.Channel.Name(), access.Read)
		if err != nil {
			continue // no longer an event channel
		}
		event, err := recorded(e.Channel.Name(), ch.Mapping(), e.Message)
		if err != nil {
			return err
		}
		if id := req.GetAggregateId(); id != "" && event.GetEvent().GetAggregateId() != id {
			continue
		}
		if err := eachEvent([]*eventstorev1.RecordedEvent{event}, f); err != nil {
			return err
		}
	}
	return nil
}

func findByAggregate(ctx context.Context, log guarded, id string, f func(*eventstore.Event) error) error {
	all, err := log.aggregatesWithID(ctx, id)
	if err != nil {
		return err
	}
	for _, a := range all {
		ch, err := log.channel(a.Channel.Name(), access.Read)
		if err != nil {
			continue
		}
		err = readAggregate(ctx, log, a, 0, false, readMsgs, func(m stores.Message) (bool, error) {
			event, err := recorded(a.Channel.Name(), ch.Mapping(), m)
			if err != nil {
				return false, err
			}
			return true, eachEvent([]*eventstorev1.RecordedEvent{event}, f)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachEvent converts events to the type of the two services. An event without a stream gets its channel.
func eachEvent(events []*eventstorev1.RecordedEvent, f func(*eventstore.Event) error) error {
	for _, r := range events {
		e := r.GetEvent()
		if e == nil {
			continue
		}
		stream := e.GetStream()
		if stream == "" {
			stream = r.GetChannel()
		}
		data := string(e.GetEventData())
		if !utf8.ValidString(data) {
			data = base64.StdEncoding.EncodeToString(e.GetEventData())
		}
		if erased := e.GetErased(); erased != nil { // their events have no other field for it
			data = fmt.Sprintf(`{"erased":{"erasure":"%d"}}`, erased.GetErasure())
		}
		err := f(&eventstore.Event{
			EventId: e.GetEventId(), EventType: e.GetEventType(), AggregateId: e.GetAggregateId(),
			AggregateType: e.GetAggregateType(), EventData: data, Stream: stream,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
