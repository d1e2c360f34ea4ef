package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/umadb"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// dcb serves umadb.v1.DCB on the events of the default channel. Positions are those of the whole log.
type dcb struct{ *service }

// dcbAggregate is the aggregate of all events that DCB appends: they have none, and ours need one.
const dcbAggregate = "dcb"

// Read implements umadb.v1.DCB.
func (d dcb) Read(ctx context.Context, req *umadb.ReadRequest, stream *connect.ServerStream[umadb.ReadResponse]) error {
	if req.GetSubscribe() { //nolint:staticcheck // clients may still set it
		return invalid("subscribe is not served by Read: call Subscribe")
	}
	q, err := d.query(req.GetQuery())
	if err != nil {
		return dcbStatus(err)
	}
	q.position, q.backward = req.GetStart(), req.GetBackwards()
	limited, sent := req.Limit != nil, false
	if limited && req.GetLimit() == 0 || req.Start != nil && q.backward && q.position == 0 {
		return stream.Send(&umadb.ReadResponse{})
	}
	last, err := d.readMatching(ctx, q, uint64(req.GetLimit()), func(events []*eventstorev1.RecordedEvent, at readAt) error {
		for part := range slices.Chunk(sequenced(events), dcbBatch(req.BatchSize)) {
			resp := &umadb.ReadResponse{Events: part, Head: &at.last}
			if limited {
				resp.Head = &part[len(part)-1].Position
			}
			if err := stream.Send(resp); err != nil {
				return err
			}
			sent = true
		}
		return nil
	})
	if err != nil || sent {
		return dcbStatus(status(err))
	}
	empty := &umadb.ReadResponse{}
	if !limited && last > 0 {
		empty.Head = &last
	}
	return stream.Send(empty)
}

// Subscribe implements umadb.v1.DCB.
func (d dcb) Subscribe(ctx context.Context, req *umadb.SubscribeRequest, stream *connect.ServerStream[umadb.SubscribeResponse]) error {
	q, err := d.query(req.GetQuery())
	if err != nil {
		return dcbStatus(err)
	}
	if req.GetAfter() == math.MaxUint64 {
		return invalid("after is %d, and no event comes after it", req.GetAfter())
	}
	q.position = req.GetAfter() + 1
	return dcbStatus(d.subscribeMatching(ctx, q, false, func(resp *eventstorev1.SubscribeResponse) error {
		if len(resp.GetEvents()) == 0 {
			return stream.Send(nil) // the header alone, which clients wait for
		}
		for part := range slices.Chunk(sequenced(resp.GetEvents()), dcbBatch(req.BatchSize)) {
			if err := stream.Send(&umadb.SubscribeResponse{Events: part}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Append implements umadb.v1.DCB.
func (d dcb) Append(ctx context.Context, req *umadb.AppendRequest) (*umadb.AppendResponse, error) {
	if req.TrackingInfo != nil {
		return nil, connect.NewError(connect.CodeUnimplemented, errNoTracking)
	}
	if len(req.GetEvents()) == 0 {
		return &umadb.AppendResponse{}, nil
	}
	ours := &eventstorev1.AppendRequest{Channel: d.defaultChannel}
	for i, e := range req.GetEvents() {
		event, err := fromDCB(e)
		if err != nil {
			return nil, invalid("event %d: %w", i+1, err)
		}
		ours.Events = append(ours.Events, event)
	}
	if c := req.GetCondition(); c != nil {
		ours.Conditions = []*eventstorev1.Condition{{Query: d.queryMessage(c.GetFailIfEventsMatch()), AfterPosition: c.GetAfter()}}
	}
	googleproto.Reset(req)
	resp, err := d.service.Append(ctx, ours)
	if err != nil {
		return nil, dcbStatus(err)
	}
	events := resp.GetEvents()
	return &umadb.AppendResponse{Position: events[len(events)-1].GetPosition()}, nil
}

// Head implements umadb.v1.DCB.
func (d dcb) Head(ctx context.Context, _ *umadb.HeadRequest) (*umadb.HeadResponse, error) {
	log, err := d.reading(ctx)
	if err == nil {
		err = log.permit(d.defaultChannel, access.Read)
	}
	if err != nil {
		return nil, dcbStatus(status(err))
	}
	resp := &umadb.HeadResponse{}
	if last := log.position(); last > 0 {
		resp.Position = &last
	}
	return resp, nil
}

var errNoTracking = errors.New("tracking positions of other sources are not stored: keep them where the source is processed")

// GetTrackingInfo implements umadb.v1.DCB.
func (d dcb) GetTrackingInfo(context.Context, *umadb.TrackingRequest) (*umadb.TrackingResponse, error) {
	return nil, connect.NewError(connect.CodeUnimplemented, errNoTracking)
}

// query returns a query for events of the default channel.
func (d dcb) query(q *umadb.Query) (byQuery, error) {
	query := queryOf(d.queryMessage(q))
	return byQuery{query: query, since: -1}, status(query.Validate())
}

func (d dcb) queryMessage(q *umadb.Query) *eventstorev1.Query {
	channels := []string{d.defaultChannel}
	message := &eventstorev1.Query{}
	for _, it := range q.GetItems() {
		message.Items = append(message.Items, &eventstorev1.QueryItem{Channels: channels, EventTypes: it.GetTypes(), Tags: it.GetTags()})
	}
	if len(message.Items) == 0 {
		message.Items = []*eventstorev1.QueryItem{{Channels: channels}}
	}
	return message
}

// dcbBatch is how many events a response has at most.
func dcbBatch(asked *uint32) int {
	if asked == nil {
		return math.MaxInt32
	}
	return int(max(1, *asked))
}

// sequenced returns events as DCB knows them. Only a valid UUID is one: some clients give up on others.
func sequenced(events []*eventstorev1.RecordedEvent) []*umadb.SequencedEvent {
	all := make([]*umadb.SequencedEvent, len(events))
	for i, r := range events {
		e := r.GetEvent()
		event := &umadb.Event{EventType: e.GetEventType(), Tags: e.GetTags(), Data: e.GetEventData()}
		if uuid.Validate(e.GetEventId()) == nil {
			event.Uuid = e.GetEventId()
		}
		for _, key := range slices.Sorted(maps.Keys(e.GetMetadata())) {
			event.Metadata = append(event.Metadata, &umadb.MetadataEntry{Key: key, Value: e.GetMetadata()[key]})
		}
		all[i] = &umadb.SequencedEvent{Position: r.GetPosition(), Event: event}
	}
	return all
}

// fromDCB returns an event as ours.
func fromDCB(e *umadb.Event) (*eventstorev1.Event, error) {
	if id := e.GetUuid(); id != "" && uuid.Validate(id) != nil {
		return nil, fmt.Errorf("%q is not a UUID", id)
	}
	event := &eventstorev1.Event{EventId: e.GetUuid(), EventType: e.GetEventType(), AggregateId: dcbAggregate, EventData: e.GetData(), Tags: e.GetTags()}
	for _, m := range e.GetMetadata() {
		if _, twice := event.Metadata[m.GetKey()]; twice {
			return nil, fmt.Errorf("metadata has the key %q twice", m.GetKey())
		}
		if event.Metadata == nil {
			event.Metadata = make(map[string]string, len(e.GetMetadata()))
		}
		event.Metadata[m.GetKey()] = m.GetValue()
	}
	return event, nil
}

// dcbStatus gives an error the code that DCB's clients go by: failed_precondition means that a condition failed, or that the
// uuid belongs to another event.
func dcbStatus(err error) error {
	var coded *connect.Error
	if !errors.As(err, &coded) {
		return err
	}
	code := coded.Code()
	switch {
	case code == connect.CodeAborted, code == connect.CodeAlreadyExists:
		code = connect.CodeFailedPrecondition
	case errors.Is(err, stores.ErrBeyondEnd), code == connect.CodeFailedPrecondition:
		code = connect.CodeInvalidArgument // reading again would not help
	default:
		return err
	}
	return connect.NewError(code, coded.Unwrap())
}
