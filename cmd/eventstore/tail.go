package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func tailCommand(t *tool) *cobra.Command {
	var filter filterFlags
	var span spanFlags
	var decode protobufFlags
	var last uint64
	c := &cobra.Command{
		Use:   "tail [CHANNEL...]",
		Short: "Follow events as they are committed",
		Long: `Prints the last events that match, and then each one as it is committed, until ctrl-C. It goes on after a restart of the server, or with
the server that leads next: no event is missing or there twice.`,
		Example: `  eventstore tail eventstore.orders
  eventstore tail --tag customer:c-9 --last 0
  eventstore tail --from-time 1h -o json | jq .type`,
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error {
			if err := decode.loadFor(t); err != nil {
				return err
			}
			s, err := span.span(ctx, t, r, &filter, args)
			if err != nil {
				return err
			}
			r.away = func(err error) { t.note("the server is away, looking for the one that leads: %s", textOf(err)) }
			out := t.newEvents(&decode)
			f := &following{span: s, last: last}
			return r.follow(ctx, f, out.add)
		}),
	}
	filter.register(c.Flags())
	decode.registerDecoding(c.Flags())
	span.register(c.Flags(), false)
	c.Flags().Uint64VarP(&last, "last", "l", 10, "begin with the last so many events, unless a flag says from where")
	return c
}

// following is what a tail follows, and how far it is.
type following struct {
	*span
	last uint64 // events to show before the first new one, unless the span has a beginning
}

// follow calls each with the events of a span, and then with new ones, until ctx ends or the span is over.
func (r *remote) follow(ctx context.Context, f *following, each func([]*eventstorev1.RecordedEvent) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // closes the stream on the server
	if f.position == 0 && f.time.IsZero() {
		head, err := r.head(ctx)
		if err != nil {
			return err
		}
		if over, err := r.before(ctx, f, head, each); over || err != nil {
			return err
		}
		f.position = head + 1
	}
	err := r.try(ctx, func(ctx context.Context, server *server) error {
		request := &eventstorev1.SubscribeRequest{Query: f.query}
		if f.position > 0 {
			request.Start = &eventstorev1.SubscribeRequest_FromPosition{FromPosition: f.position}
		} else {
			request.Start = &eventstorev1.SubscribeRequest_FromTime{FromTime: timestamppb.New(f.time)}
		}
		stream, err := server.events.Subscribe(ctx, request)
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		for stream.Receive() {
			r.reached = true
			within, over := f.take(stream.Msg().GetEvents())
			if len(within) > 0 {
				if err := each(within); err != nil {
					return err
				}
			}
			if over || f.passed(stream.Msg().GetCheckpointPosition()) {
				return errDone
			}
			f.position = stream.Msg().GetCheckpointPosition() + 1
			if stream.Msg().GetCaughtUp() && !f.toTime.IsZero() && time.Now().After(f.toTime) {
				return errDone
			}
		}
		return stream.Err()
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// before calls each with the last events up to a position, and reports whether the span is over.
func (r *remote) before(ctx context.Context, f *following, head uint64, each func([]*eventstorev1.RecordedEvent) error) (over bool, err error) {
	if f.last == 0 || head == 0 {
		return false, nil
	}
	var found []*eventstorev1.RecordedEvent
	back := &span{query: f.query, position: head, backward: true, limit: f.last}
	err = r.read(ctx, back, func(events []*eventstorev1.RecordedEvent) error {
		found = append(found, events...)
		return nil
	})
	if err != nil {
		return false, err
	}
	slices.Reverse(found)
	within, over := f.take(found)
	return over, each(within)
}

// head returns the position of the last event.
func (r *remote) head(ctx context.Context) (position uint64, err error) {
	err = r.call(ctx, func(ctx context.Context, s *server) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // closes the stream on the server
		stream, err := s.events.Subscribe(ctx, &eventstorev1.SubscribeRequest{
			Query: &eventstorev1.Query{}, Start: &eventstorev1.SubscribeRequest_FromEnd{FromEnd: true},
		})
		if err != nil {
			return err
		}
		if !stream.Receive() {
			return stream.Err()
		}
		position = stream.Msg().GetCheckpointPosition()
		return nil
	})
	return position, err
}
