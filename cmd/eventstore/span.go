package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// spanFlags say from where to where to read.
type spanFlags struct {
	fromPosition, fromSequence, toPosition, toSequence, limit uint64
	fromTime, toTime                                          string
	backward                                                  bool
}

func (f *spanFlags) register(flags *pflag.FlagSet, backward bool) {
	flags.Uint64Var(&f.fromPosition, "from-position", 0, "begin at this position")
	flags.Uint64Var(&f.fromSequence, "from-sequence", 0, "begin at this sequence of the one channel that is named")
	flags.StringVar(&f.fromTime, "from-time", "", "begin with the first event that was recorded at "+timeHelp)
	flags.Uint64Var(&f.toPosition, "to-position", 0, "end with this position")
	flags.Uint64Var(&f.toSequence, "to-sequence", 0, "end with this sequence of the one channel that is named")
	flags.StringVar(&f.toTime, "to-time", "", "end with the last event that was recorded at a time")
	flags.Uint64VarP(&f.limit, "limit", "n", 0, "end after so many events")
	if backward {
		flags.BoolVarP(&f.backward, "backward", "b", false, "the last event first; from and to change places")
	}
}

// span is what to read.
type span struct {
	query    *eventstorev1.Query
	position uint64    // to begin at; 0 if time or neither counts
	time     time.Time // to begin at
	backward bool
	limit    uint64

	toPosition, toSequence uint64
	toTime                 time.Time
}

// errDone ends a stream without an error.
var errDone = errors.New("done")

// span returns what the flags say. channels are the arguments of the command.
func (f *spanFlags) span(ctx context.Context, t *tool, r *remote, filter *filterFlags, channels []string) (*span, error) {
	q, err := filter.query(channels)
	if err != nil {
		return nil, err
	}
	s := &span{query: q, position: f.fromPosition, backward: f.backward, limit: f.limit, toPosition: f.toPosition, toSequence: f.toSequence}
	starts := 0
	for _, given := range []bool{f.fromPosition > 0, f.fromSequence > 0, f.fromTime != ""} {
		if given {
			starts++
		}
	}
	if starts > 1 {
		return nil, usage("give one of --from-position, --from-sequence and --from-time")
	}
	if f.fromTime != "" {
		if s.time, err = t.when("from-time", f.fromTime); err != nil {
			return nil, err
		}
	}
	if f.toTime != "" {
		if s.toTime, err = t.when("to-time", f.toTime); err != nil {
			return nil, err
		}
	}
	if (f.fromSequence > 0 || f.toSequence > 0) && (len(channels) != 1 || strings.ContainsAny(channels[0], "*>")) {
		return nil, usage("a sequence is one of a channel: name one channel, or use positions")
	}
	if f.fromSequence > 0 {
		if s.position, err = r.positionOf(ctx, channels[0], f.fromSequence); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// positionOf returns the position of the first event of a channel with this sequence or a later one.
func (r *remote) positionOf(ctx context.Context, channel string, sequence uint64) (position uint64, err error) {
	err = r.call(ctx, func(ctx context.Context, s *server) error {
		stream, err := s.events.Read(ctx, &eventstorev1.ReadRequest{
			Channel: channel, Start: &eventstorev1.ReadRequest_FromSequence{FromSequence: sequence}, Limit: 1,
		})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		for stream.Receive() {
			for _, e := range stream.Msg().GetEvents() {
				position = e.GetPosition()
			}
		}
		return stream.Err()
	})
	if err == nil && position == 0 {
		err = notFound("channel %q has no event with sequence %d or a later one", channel, sequence)
	}
	return position, err
}

// beyond reports whether an event is behind the end of the span.
func (s *span) beyond(e *eventstorev1.RecordedEvent) bool {
	if s.backward {
		return s.toPosition > 0 && e.GetPosition() < s.toPosition || s.toSequence > 0 && e.GetSequence() < s.toSequence ||
			!s.toTime.IsZero() && e.GetRecordedAt().AsTime().Before(s.toTime)
	}
	return s.toPosition > 0 && e.GetPosition() > s.toPosition || s.toSequence > 0 && e.GetSequence() > s.toSequence ||
		!s.toTime.IsZero() && e.GetRecordedAt().AsTime().After(s.toTime)
}

// passed reports whether nothing of the span follows a checkpoint.
func (s *span) passed(checkpoint uint64) bool {
	switch {
	case checkpoint == 0 || s.toPosition == 0:
		return false
	case s.backward:
		return checkpoint <= s.toPosition
	}
	return checkpoint >= s.toPosition
}

// take returns the events that are within the span and its limit, and whether the span is over.
func (s *span) take(events []*eventstorev1.RecordedEvent) (within []*eventstorev1.RecordedEvent, over bool) {
	for i, e := range events {
		if s.beyond(e) {
			return events[:i], true
		}
		if s.limit > 0 {
			if s.limit--; s.limit == 0 {
				s.limit = noLimitLeft
				return events[:i+1], true
			}
		}
	}
	return events, false
}

// noLimitLeft stands for a limit that is used up, since 0 is none.
const noLimitLeft = ^uint64(0)

// read calls each with the events of the span. It goes on after an interruption, on another server if necessary.
func (r *remote) read(ctx context.Context, s *span, each func([]*eventstorev1.RecordedEvent) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the stream on the server
	err := r.try(ctx, func(ctx context.Context, server *server) error {
		request := &eventstorev1.ReadRequest{Query: s.query, Limit: s.limit}
		if s.backward {
			request.Direction = eventstorev1.Direction_DIRECTION_BACKWARD
		}
		switch {
		case s.position > 0:
			request.Start = &eventstorev1.ReadRequest_FromPosition{FromPosition: s.position}
		case !s.time.IsZero():
			request.Start = &eventstorev1.ReadRequest_FromTime{FromTime: timestamppb.New(s.time)}
		}
		stream, err := server.events.Read(ctx, request)
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		for stream.Receive() {
			r.reached = true
			within, over := s.take(stream.Msg().GetEvents())
			if err := each(within); err != nil {
				return err
			}
			checkpoint := stream.Msg().GetCheckpointPosition()
			if over || s.passed(checkpoint) || s.backward && checkpoint == 1 {
				return errDone
			}
			if checkpoint > 0 {
				s.position = checkpoint + 1
				if s.backward {
					s.position = checkpoint - 1
				}
			}
		}
		return stream.Err()
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}
