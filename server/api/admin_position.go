package api

import (
	"context"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/consumers"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// SetConsumerPosition implements eventstore.v1.Admin.
func (a admin) SetConsumerPosition(ctx context.Context, req *eventstorev1.SetConsumerPositionRequest) (*eventstorev1.SetConsumerPositionResponse, error) {
	g, name, err := a.consumer(ctx, req)
	if err != nil {
		return nil, err
	}
	if _, err := g.describe(name); err != nil {
		return nil, err
	}
	line := g.Line(name.Line)
	if line == nil {
		return nil, status(consumers.ErrUnknownConsumer)
	}
	next, err := g.next(ctx, line, req)
	if err != nil {
		return nil, status(err)
	}
	err = g.act(ctx, func(ctx context.Context) error { return g.SetPosition(ctx, g.by, name, next) })
	if err != nil {
		return nil, err
	}
	c, err := g.describe(name)
	return &eventstorev1.SetConsumerPositionResponse{Consumer: c}, err
}

// next returns the place in a line that a request names.
func (g administered) next(ctx context.Context, line consumers.Line, req *eventstorev1.SetConsumerPositionRequest) (uint64, error) {
	end := line.Info().Last + 1
	switch at := req.GetNext().(type) {
	case *eventstorev1.SetConsumerPositionRequest_Sequence:
		switch {
		case at.Sequence == 0:
			return 0, invalid("sequence 0 does not exist: the first is 1")
		case line.Pattern() != "":
			return 0, invalid("a consumer of the pattern %q has no sequences: send position", line.Pattern())
		}
		return min(at.Sequence, end), nil
	case *eventstorev1.SetConsumerPositionRequest_Position:
		switch {
		case at.Position == 0:
			return 0, invalid("position 0 does not exist: the first is 1")
		case line.Pattern() != "":
			return min(at.Position, end), nil
		}
		return g.sequenceAt(ctx, line, at.Position)
	case *eventstorev1.SetConsumerPositionRequest_Time:
		ns, err := nanoseconds(at.Time)
		if err != nil {
			return 0, err
		}
		place, err := line.PlaceAt(ctx, ns)
		if place == 0 {
			place = end
		}
		return place, err
	case *eventstorev1.SetConsumerPositionRequest_End:
		if at.End {
			return end, nil
		}
	}
	return 0, invalid("the next message is missing: send sequence, position, time, or end: true")
}

// sequenceAt returns the sequence of a channel's first event at a position or later, or of the next one.
func (g administered) sequenceAt(ctx context.Context, line consumers.Line, position uint64) (uint64, error) {
	if _, err := g.log.log.Channel(line.Name()); err != nil {
		return 0, err // its messages have no positions
	}
	end := line.Info().Last + 1
	last := g.log.position()
	cursor, err := g.log.eventCursor(stores.Query{Items: []stores.QueryItem{{Channels: []string{line.Name()}}}}, position)
	if err != nil {
		return 0, err
	}
	defer cursor.Close()
	for cursor.Position() <= last {
		events, err := cursor.ReadTo(ctx, last, 1)
		if err != nil {
			return 0, err
		}
		if len(events) > 0 {
			return events[0].Sequence, nil
		}
	}
	return end, nil
}
