package api

import (
	"context"
	"fmt"
	"math"
	"strings"

	"connectrpc.com/connect"
	googleproto "google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// readMsgs and readBytes bound one read from the log.
	readMsgs  = 500
	readBytes = 1 << 20
	// responseBytes is the approximate size of a streamed response, unless one event is larger.
	responseBytes = 256 << 10
	// maxPage is the largest number of channels in a page.
	maxPage = 1000
)

// ReadAggregate implements eventstore.v1.EventStore.
func (s *service) ReadAggregate(ctx context.Context, req *eventstorev1.ReadAggregateRequest, stream *connect.ServerStream[eventstorev1.ReadAggregateResponse]) error {
	return s.readAggregate(ctx, req, stream.Send)
}

// readAggregate is ReadAggregate for whoever takes the responses.
func (s *service) readAggregate(ctx context.Context, req *eventstorev1.ReadAggregateRequest, send func(*eventstorev1.ReadAggregateResponse) error) error {
	backward := req.GetDirection() == eventstorev1.Direction_DIRECTION_BACKWARD
	switch d := req.GetDirection(); {
	case req.GetAggregateId() == "":
		return invalid("aggregate_id is missing")
	case eventstorev1.Direction_name[int32(d)] == "":
		return invalid("unknown direction %d", d)
	}
	log, err := s.reading(ctx)
	if err != nil {
		return status(err)
	}
	ch, err := log.channel(req.GetChannel(), access.Read)
	if err != nil {
		return status(err)
	}
	b := &responses{maxEvents: req.GetLimit(), send: func(events []*eventstorev1.RecordedEvent, _ uint64) error {
		if len(events) == 0 {
			return nil
		}
		return send(&eventstorev1.ReadAggregateResponse{Events: events})
	}}
	a := stores.Aggregate{Channel: ch.Stored(), Type: req.GetAggregateType(), ID: req.GetAggregateId()}
	err = readAggregate(ctx, log, a, req.GetFromVersion(), backward, b.wanted(), func(m stores.Message) (bool, error) {
		event, err := recorded(ch.Stored().Name(), ch.Mapping(), m)
		if err != nil {
			return false, err
		}
		return b.add(event, m.Sequence)
	})
	if err == nil {
		err = b.flush()
	}
	return status(err)
}

// readAggregate calls f with the events of an aggregate until f returns false. It reads them in parts of a number of events.
func readAggregate(ctx context.Context, log guarded, a stores.Aggregate, from uint64, backward bool, part int, f func(stores.Message) (bool, error)) error {
	if backward && from == 0 {
		from = math.MaxInt64
	}
	if !backward {
		from = max(from, 1)
	}
	for {
		msgs, more, err := log.readAggregate(ctx, a, from, backward, part, readBytes)
		if err != nil {
			return err
		}
		for _, m := range msgs {
			if more, err := f(m); err != nil || !more {
				return err
			}
		}
		if !more {
			return nil
		}
		last := msgs[len(msgs)-1].Version
		if from = last + 1; backward {
			from = last - 1
		}
	}
}

// Read implements eventstore.v1.EventStore.
func (s *service) Read(ctx context.Context, req *eventstorev1.ReadRequest, stream *connect.ServerStream[eventstorev1.ReadResponse]) error {
	switch _, fromPosition := req.GetStart().(*eventstorev1.ReadRequest_FromPosition); {
	case req.GetQuery() != nil && req.GetPayloads():
		return invalid("payloads need a channel: read one channel, or leave them out")
	case req.GetQuery() != nil:
		return s.readQuery(ctx, req, stream.Send)
	case fromPosition, req.GetDirection() != eventstorev1.Direction_DIRECTION_UNSPECIFIED:
		return errNeedsQuery
	}
	selected, err := selectionOf(req.GetFilter(), req.GetFromTime())
	if err != nil {
		return err
	}
	log, err := s.reading(ctx)
	if err != nil {
		return status(err)
	}
	ch, err := log.channel(req.GetChannel(), access.Read)
	if err != nil {
		return status(err)
	}
	last := ch.Info().Last
	from, err := startOf(ctx, ch, req.GetFromSequence(), selected, last)
	if err != nil {
		return status(err)
	}
	b := &responses{maxEvents: req.GetLimit(), send: func(events []*eventstorev1.RecordedEvent, checkpoint uint64) error {
		return stream.Send(&eventstorev1.ReadResponse{Events: events, Checkpoint: checkpoint})
	}}
	cursor := ch.Cursor(from)
	defer cursor.Close()
	selected.payloads = req.GetPayloads()
	if err := scan(ctx, ch, cursor, last, selected, b); err != nil {
		return status(err)
	}
	return status(b.flush())
}

// scan adds the selected events up to a sequence and advances the checkpoint.
func scan(ctx context.Context, ch Channel, cursor Cursor, to uint64, selected selection, b *responses) error {
	for cursor.Position() <= to {
		msgs, err := cursor.ReadTo(ctx, to, readMsgs)
		if err != nil {
			return err
		}
		if len(msgs) == 0 {
			return b.pass(to, 1) // the last sequences are missing
		}
		for _, m := range msgs {
			event, err := recorded(ch.Stored().Name(), ch.Mapping(), m)
			if err != nil {
				return err
			}
			if !selected.matches(m, event.GetEvent()) {
				if err := b.pass(m.Sequence, 1); err != nil {
					return err
				}
				continue
			}
			if selected.payloads {
				if event.Payload, err = payloadOf(m); err != nil {
					return err
				}
			}
			if more, err := b.add(event, m.Sequence); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// startOf returns the sequence at which a request begins. It is last+1 if no event is recent enough.
func startOf(ctx context.Context, ch Channel, sequence uint64, selected selection, last uint64) (uint64, error) {
	if selected.since == 0 {
		return max(sequence, 1), nil
	}
	found, err := ch.SequenceAt(ctx, selected.since)
	if err == nil && found == 0 {
		found = last + 1
	}
	return found, err
}

// responses batches events into responses of bounded size and sends them.
type responses struct {
	send       func(events []*eventstorev1.RecordedEvent, checkpoint uint64) error
	maxEvents  uint64 // 0: unlimited
	added      uint64
	events     []*eventstorev1.RecordedEvent
	bytes      int
	checkpoint uint64 // every place up to this one, a sequence or a position, was added or passed
	skipped    uint64 // places passed since the last response
}

// checkpointEvery is the number of unselected events after which a response reports progress.
const checkpointEvery = 10_000

// wanted returns how many events to read at a time: readMsgs, or as many as the request still wants.
func (r *responses) wanted() int {
	if r.maxEvents == 0 {
		return readMsgs
	}
	return int(min(r.maxEvents-r.added, readMsgs))
}

// add reports whether the request wants more events.
func (r *responses) add(e *eventstorev1.RecordedEvent, place uint64) (bool, error) {
	r.events = append(r.events, e)
	r.bytes += googleproto.Size(e)
	r.checkpoint = place
	r.added++
	if r.bytes >= responseBytes {
		if err := r.flush(); err != nil {
			return false, err
		}
	}
	return r.maxEvents == 0 || r.added < r.maxEvents, nil
}

// pass records that nothing remains to be sent up to a place, at the end of some that were passed.
func (r *responses) pass(place, passed uint64) error {
	r.checkpoint = place
	if r.skipped += passed; r.skipped >= checkpointEvery {
		return r.flush()
	}
	return nil
}

// flush sends the batch, unless nothing was added or passed.
func (r *responses) flush() error {
	if len(r.events) == 0 && r.skipped == 0 {
		return nil
	}
	events := r.events
	r.events, r.bytes, r.skipped = nil, 0, 0
	return r.send(events, r.checkpoint)
}

// GetEvent implements eventstore.v1.EventStore.
func (s *service) GetEvent(ctx context.Context, req *eventstorev1.GetEventRequest) (*eventstorev1.GetEventResponse, error) {
	log, err := s.reading(ctx)
	if err != nil {
		return nil, status(err)
	}
	var ch Channel
	if req.GetChannel() != "" {
		if ch, err = log.channel(req.GetChannel(), access.Read); err != nil {
			return nil, status(err)
		}
	}
	var event *eventstorev1.RecordedEvent
	switch key := req.GetKey().(type) {
	case *eventstorev1.GetEventRequest_EventId:
		event, err = eventWithID(ctx, log, ch, key.EventId)
	case *eventstorev1.GetEventRequest_Sequence:
		if ch == nil {
			return nil, invalid("a sequence needs a channel")
		}
		event, err = eventAt(ctx, ch, key.Sequence)
	default:
		return nil, invalid("event_id or sequence is required")
	}
	if err != nil {
		return nil, status(err)
	}
	if ch == nil {
		if ch, err = log.channel(event.GetChannel(), access.Read); err != nil {
			return nil, status(err)
		}
	}
	by, err := log.appenderOf(ctx, ch, event.GetSequence())
	if err != nil {
		return nil, status(err)
	}
	return &eventstorev1.GetEventResponse{Event: event, Appender: by}, nil
}

// eventWithID returns the event with an event_id. If ch is nil, only one channel may have it.
func eventWithID(ctx context.Context, log guarded, ch Channel, id string) (*eventstorev1.RecordedEvent, error) {
	if id == "" {
		return nil, invalid("event_id is empty")
	}
	all, err := log.eventsWithID(ctx, id)
	if err != nil {
		return nil, err
	}
	var found []*eventstorev1.RecordedEvent
	for _, e := range all {
		if ch != nil && ch.Stored() != e.Channel {
			continue
		}
		on, err := log.channel(e.Channel.Name(), access.Read)
		if err != nil {
			continue // no longer an event channel
		}
		event, err := recorded(e.Channel.Name(), on.Mapping(), e.Message)
		if err != nil {
			return nil, err
		}
		found = append(found, event)
	}
	switch len(found) {
	case 0:
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no event has event_id %q", id))
	case 1:
		return found[0], nil
	}
	return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%d channels have an event with event_id %q: name a channel", len(found), id))
}

func eventAt(ctx context.Context, ch Channel, sequence uint64) (*eventstorev1.RecordedEvent, error) {
	name := ch.Stored().Name()
	if sequence == 0 {
		return nil, invalid("the first sequence is 1")
	}
	found, err := ch.Lookup(ctx, []uint64{sequence})
	if err != nil {
		return nil, err
	}
	m, ok := found[sequence]
	if !ok {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("channel %q has no event with sequence %d", name, sequence))
	}
	return recorded(name, ch.Mapping(), m)
}

// ListChannels implements eventstore.v1.EventStore.
func (s *service) ListChannels(ctx context.Context, req *eventstorev1.ListChannelsRequest) (*eventstorev1.ListChannelsResponse, error) {
	log, err := s.reading(ctx)
	if err != nil {
		return nil, status(err)
	}
	size := int(min(req.GetPageSize(), maxPage))
	if size == 0 {
		size = maxPage
	}
	resp := &eventstorev1.ListChannelsResponse{ClusterId: log.log.ClusterID()}
	for _, ch := range log.channels(access.Read, access.Append) {
		name := ch.Stored().Name()
		if !strings.HasPrefix(name, req.GetPrefix()) || name <= req.GetPageToken() {
			continue
		}
		if n := len(resp.Channels); n == size {
			resp.NextPageToken = resp.Channels[n-1].GetName()
			break
		}
		resp.Channels = append(resp.Channels, channelOf(ch))
	}
	return resp, nil
}

func channelOf(c Channel) *eventstorev1.Channel {
	info := c.Info()
	ch := &eventstorev1.Channel{
		Name: c.Stored().Name(), FirstSequence: info.First, LastSequence: info.Last, Events: info.Msgs, Bytes: info.Bytes,
	}
	if info.LastTime != 0 {
		ch.LastRecordedAt = &timestamppb.Timestamp{Seconds: info.LastTime / 1e9, Nanos: int32(info.LastTime % 1e9)}
	}
	return ch
}
