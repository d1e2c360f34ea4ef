package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	natsd "github.com/nats-io/nats-server/v2/server"

	"github.com/nats-eventstore/nats-eventstore/cmd/eventstore/streams"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// channelSource reads channels by the API.
type channelSource struct {
	r        *remote
	patterns []string // of channels; empty for all
	stored   func(context.Context) ([]*eventstorev1.Consumer, error)
}

var _ streams.Source = &channelSource{}

// Channels implements streams.Source.
func (s *channelSource) Channels(ctx context.Context) (cluster string, found []*eventstorev1.Channel, err error) {
	matched := make(map[string]bool)
	err = pages(ctx, s.r, func(ctx context.Context, on *server, token string) ([]*eventstorev1.Channel, string, error) {
		answer, err := on.events.ListChannels(ctx, &eventstorev1.ListChannelsRequest{PageToken: token})
		if answer.GetClusterId() != "" {
			cluster = answer.GetClusterId()
		}
		return answer.GetChannels(), answer.GetNextPageToken(), err
	}, func(c *eventstorev1.Channel) error {
		wanted := len(s.patterns) == 0
		for _, p := range s.patterns {
			if natsd.SubjectMatchesFilter(c.GetName(), p) {
				wanted, matched[p] = true, true
			}
		}
		if wanted {
			found = append(found, c)
		}
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	for _, p := range s.patterns {
		if !matched[p] {
			text := "there is no event channel %q"
			if s.r.offline {
				text = "there is no channel %q"
			} else {
				text += ": eventstore channels shows all; other channels are copied from the database, by --dsn"
			}
			return "", nil, notFound(text, p)
		}
	}
	slices.SortFunc(found, func(a, b *eventstorev1.Channel) int { return strings.Compare(a.GetName(), b.GetName()) })
	return cluster, found, nil
}

// Read implements streams.Source. It goes on after an interruption.
func (s *channelSource) Read(ctx context.Context, channel string, from uint64, each func([]*eventstorev1.RecordedEvent) error) error {
	var failed error // of each, which is not to be tried again
	err := s.r.try(ctx, func(ctx context.Context, on *server) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // closes the stream on the server
		stream, err := on.events.Read(ctx, &eventstorev1.ReadRequest{
			Channel: channel, Start: &eventstorev1.ReadRequest_FromSequence{FromSequence: from}, Payloads: true,
		})
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }() // stream.Err returns the error
		for stream.Receive() {
			s.r.reached = true
			if failed = each(stream.Msg().GetEvents()); failed != nil {
				return errDone
			}
			from = stream.Msg().GetCheckpoint() + 1
		}
		return stream.Err()
	})
	if failed != nil || errors.Is(err, errDone) {
		return failed
	}
	return err
}

// Consumers implements streams.Source.
func (s *channelSource) Consumers(ctx context.Context) ([]*eventstorev1.Consumer, error) {
	if s.r.offline {
		return s.stored(ctx)
	}
	var all []*eventstorev1.Consumer
	err := s.r.consumers(ctx, "", func(c *eventstorev1.Consumer) error {
		all = append(all, c)
		return nil
	})
	if connect.CodeOf(err) == connect.CodePermissionDenied {
		err = fmt.Errorf("consumers: %w: give a token with the right admin, or leave them out with --no-consumers", err)
	}
	return all, err
}
