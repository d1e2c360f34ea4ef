package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

const (
	// maxSequences bounds the sequences in a request.
	maxSequences = 10_000
	// lookupBytes is the approximate size of the messages that are looked up at a time.
	lookupBytes = 1 << 20
)

// ListParked implements eventstore.v1.Admin.
func (a admin) ListParked(ctx context.Context, req *eventstorev1.ListParkedRequest) (*eventstorev1.ListParkedResponse, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	after, err := numberAfter(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	var parked []stores.ParkedMessage
	err = g.act(ctx, func(ctx context.Context) (err error) {
		parked, err = g.Parked(ctx, name, after, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	resp := &eventstorev1.ListParkedResponse{}
	if len(parked) > size {
		parked = parked[:size]
		resp.NextPageToken = strconv.FormatUint(parked[size-1].Seq, 10)
	}
	for _, p := range parked {
		resp.Messages = append(resp.Messages, &eventstorev1.ParkedMessage{
			Sequence: p.Seq, Deliveries: p.Deliveries, Key: p.Key, Reason: p.Reason,
			FirstDeliveredAt: timeOf(p.First), LastDeliveredAt: timeOf(p.Last),
		})
	}
	if line := g.Line(name.Line); line != nil {
		err = identify(ctx, line, resp.Messages)
	}
	return resp, status(err)
}

// numberAfter returns the number in a page token, or 0.
func numberAfter(token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(token, 10, 64)
	if err != nil {
		return 0, errPageToken(token)
	}
	return n, nil
}

// timeOf returns a time in ns since 1970, or nil for 0.
func timeOf(ns int64) *timestamppb.Timestamp {
	if ns == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(0, ns))
}

// identify says which messages of a line are parked, as far as they are still stored.
func identify(ctx context.Context, line consumers.Line, messages []*eventstorev1.ParkedMessage) error {
	for some := range slices.Chunk(messages, lookupBytes/(line.MessageBytes()+1)+1) {
		sequences := make([]uint64, len(some))
		for i, p := range some {
			sequences[i] = p.GetSequence()
		}
		found, err := line.Lookup(ctx, sequences)
		if err != nil {
			return err
		}
		for _, p := range some {
			m, ok := found[p.GetSequence()]
			if !ok {
				continue
			}
			ch := line.Origin(&m)
			if ch == nil {
				continue
			}
			p.Channel, p.ChannelSequence, p.Position = ch.Name(), m.Sequence, m.Position
			if ch.Events() == nil {
				continue
			}
			event, err := recorded(ch.Name(), ch.Mapping(), m)
			if err != nil {
				continue // a damaged row, which others report
			}
			e := event.GetEvent()
			p.EventId, p.EventType, p.AggregateType, p.AggregateId = e.GetEventId(), e.GetEventType(), e.GetAggregateType(), e.GetAggregateId()
		}
	}
	return nil
}

// ReplayParked implements eventstore.v1.Admin.
func (a admin) ReplayParked(ctx context.Context, req *eventstorev1.ReplayParkedRequest) (*eventstorev1.ReplayParkedResponse, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	sequences, err := sequencesOf(req.GetSequences(), req.GetAll())
	if err != nil {
		return nil, err
	}
	resp := &eventstorev1.ReplayParkedResponse{}
	err = g.act(ctx, func(ctx context.Context) error {
		n, err := g.Replay(ctx, g.by, name, sequences)
		resp.Replayed = uint64(n)
		return err
	})
	return resp, err
}

// DiscardParked implements eventstore.v1.Admin.
func (a admin) DiscardParked(ctx context.Context, req *eventstorev1.DiscardParkedRequest) (*eventstorev1.DiscardParkedResponse, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	sequences, err := sequencesOf(req.GetSequences(), req.GetAll())
	if err != nil {
		return nil, err
	}
	if req.GetReason() == "" {
		return nil, invalid("reason is missing: say why the messages are given up")
	}
	resp := &eventstorev1.DiscardParkedResponse{}
	err = g.act(ctx, func(ctx context.Context) error {
		n, err := g.Discard(ctx, g.by, name, sequences, req.GetReason())
		resp.Discarded = uint64(n)
		return err
	})
	return resp, err
}

// sequencesOf returns the parked messages that a request names, in order; none stands for all.
func sequencesOf(sequences []uint64, all bool) ([]uint64, error) {
	switch {
	case all && len(sequences) > 0:
		return nil, invalid("sequences and all exclude each other: send one of them")
	case !all && len(sequences) == 0:
		return nil, invalid("sequences are missing: send those of parked messages, or all: true")
	case len(sequences) > maxSequences:
		return nil, invalid("%d sequences are more than %d: send several requests, or all: true", len(sequences), maxSequences)
	}
	sequences = slices.Clone(sequences)
	slices.Sort(sequences)
	return slices.Compact(sequences), nil
}

// CancelDelivery implements eventstore.v1.Admin.
func (a admin) CancelDelivery(ctx context.Context, req *eventstorev1.CancelDeliveryRequest) (*eventstorev1.CancelDeliveryResponse, error) {
	if req.GetEventId() == "" {
		return nil, invalid("event_id is missing")
	}
	g, err := a.administration(ctx, req.GetChannel())
	if err != nil {
		return nil, status(err)
	}
	ch, err := g.log.channel(req.GetChannel(), access.Admin)
	if err != nil {
		return nil, status(err)
	}
	found, err := g.log.eventsWithID(ctx, req.GetEventId())
	if err != nil {
		return nil, status(err)
	}
	i := slices.IndexFunc(found, func(e stores.FoundEvent) bool { return e.Channel == ch.Stored() })
	if i < 0 {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("channel %q has no event with event_id %q", req.GetChannel(), req.GetEventId()))
	}
	event, err := recorded(req.GetChannel(), ch.Mapping(), found[i].Message)
	if err != nil {
		return nil, status(err)
	}
	if event.GetEvent().GetMetadata()[eventlog.DeliverAt] == "" {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("event %q has no %s in its metadata: its delivery is not delayed", req.GetEventId(), eventlog.DeliverAt))
	}
	err = g.act(ctx, func(ctx context.Context) error {
		return g.CancelDelivery(ctx, g.by, ch.Stored(), found[i].Sequence, req.GetEventId())
	})
	return &eventstorev1.CancelDeliveryResponse{}, err
}
