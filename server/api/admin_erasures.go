package api

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/eventlog"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// EraseEvents implements eventstore.v1.Admin.
func (a admin) EraseEvents(ctx context.Context, req *eventstorev1.EraseEventsRequest) (*eventstorev1.EraseEventsResponse, error) {
	selected := eventlog.ErasedEvents{
		Channel: req.GetChannel(), AggregateType: req.AggregateType, AggregateID: req.GetAggregateId(), Sequence: req.GetSequence(), Tag: req.GetTag(),
	}
	switch {
	case selected.Channel != "" && !eventlog.ValidChannel(selected.Channel):
		return nil, invalid("channel %q is not a channel", selected.Channel)
	case selected.AggregateID == "" && selected.Sequence == 0 && selected.Tag == "":
		return nil, invalid("the events are missing: send aggregate_id, tag, or channel and sequence")
	case selected.Sequence > 0 && selected.Channel == "":
		return nil, invalid("channel is missing: send the channel of the sequence")
	case selected.AggregateType != nil && selected.AggregateID == "":
		return nil, invalid("aggregate_type is only for events of an aggregate: send aggregate_id")
	case strings.TrimSpace(req.GetReason()) == "" && !req.GetDryRun():
		return nil, invalid("reason is missing: say why the events are erased")
	}
	g, err := a.administration(ctx, cmp.Or(selected.Channel, everywhere))
	if err != nil {
		return nil, status(err)
	}
	report, err := g.Erase(ctx, g.by, selected, req.GetReason(), req.GetDryRun())
	if err != nil {
		return nil, status(err)
	}
	resp := &eventstorev1.EraseEventsResponse{Erasure: erasureMessage(&report.Erasure), PublishersWaited: durationpb.New(report.Took)}
	for _, c := range report.Channels {
		resp.Channels = append(resp.Channels, &eventstorev1.ErasedChannel{Channel: c.Name, Events: c.Events, Copies: c.Copies})
	}
	for _, s := range report.Streams {
		stream := &eventstorev1.ErasedStream{Stream: s.Name, Deleted: s.Deleted}
		if s.Err != nil {
			stream.Error = s.Err.Error()
		}
		resp.Streams = append(resp.Streams, stream)
	}
	return resp, nil
}

func erasureMessage(e *stores.Erasure) *eventstorev1.Erasure {
	return &eventstorev1.Erasure{
		Id: e.ID, RequestedAt: timeOf(e.Requested), Principal: e.Principal, Reason: e.Reason, State: e.State,
		Events: e.Events, Copies: e.Copies, ErasedAt: timeOf(e.Erased),
	}
}

// ListErasures implements eventstore.v1.Admin.
func (a admin) ListErasures(ctx context.Context, req *eventstorev1.ListErasuresRequest) (*eventstorev1.ListErasuresResponse, error) {
	g, err := a.administration(ctx, everywhere)
	if err != nil {
		return nil, status(err)
	}
	before, err := numberAfter(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	var erasures []stores.Erasure
	err = g.act(ctx, func(ctx context.Context) (err error) {
		erasures, err = g.Erasures(ctx, before, size+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	resp := &eventstorev1.ListErasuresResponse{}
	if len(erasures) > size {
		erasures = erasures[:size]
		resp.NextPageToken = strconv.FormatUint(erasures[size-1].ID, 10)
	}
	for i := range erasures {
		resp.Erasures = append(resp.Erasures, erasureMessage(&erasures[i]))
	}
	return resp, nil
}
