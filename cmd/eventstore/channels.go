package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// channelJSON is a channel as channels prints it.
type channelJSON struct {
	Name           string     `json:"name"`
	Events         uint64     `json:"events"`
	Bytes          uint64     `json:"bytes"`
	FirstSequence  uint64     `json:"first_sequence"`
	LastSequence   uint64     `json:"last_sequence"`
	LastRecordedAt *time.Time `json:"last_recorded_at,omitempty"`
}

func channelsCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:     "channels [PREFIX]",
		Aliases: []string{"channel"},
		Short:   "List the event channels",
		Args:    cobra.MaximumNArgs(1),
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error {
			prefix := ""
			if len(args) > 0 {
				prefix = args[0]
			}
			out := t.newList("there are no event channels that you may use: the first event creates one", "CHANNEL", "EVENTS", "FIRST", "LAST", "SIZE", "LAST EVENT")
			err := r.channels(ctx, prefix, func(c *eventstorev1.Channel) error {
				return out.add(
					channelJSON{c.GetName(), c.GetEvents(), c.GetBytes(), c.GetFirstSequence(), c.GetLastSequence(), timePointer(c.GetLastRecordedAt())},
					c.GetName(), number(c.GetEvents()), number(c.GetFirstSequence()), number(c.GetLastSequence()), bytesOf(c.GetBytes()), t.timestamp(c.GetLastRecordedAt()))
			})
			if err != nil {
				return err
			}
			return out.end()
		}),
	}
}

// channels calls each with the event channels whose names begin with a prefix.
func (r *remote) channels(ctx context.Context, prefix string, each func(*eventstorev1.Channel) error) error {
	return pages(ctx, r, func(ctx context.Context, s *server, token string) ([]*eventstorev1.Channel, string, error) {
		answer, err := s.events.ListChannels(ctx, &eventstorev1.ListChannelsRequest{Prefix: prefix, PageToken: token})
		return answer.GetChannels(), answer.GetNextPageToken(), err
	}, each)
}

func timePointer(at *timestamppb.Timestamp) *time.Time {
	if at == nil {
		return nil
	}
	t := at.AsTime()
	return &t
}
