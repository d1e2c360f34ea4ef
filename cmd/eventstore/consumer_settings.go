package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func consumerSetCommand(t *tool) *cobra.Command {
	var name consumerName
	var maxDeliveries, maxInflight uint32
	var backoff []time.Duration
	var ackWait time.Duration
	var orderBy, onLimit, behindParked string
	var types, tags, clear []string
	c := &cobra.Command{
		Use:   "set CHANNEL NAME",
		Short: "Change settings of a consumer, which need not exist yet",
		Example: `  eventstore consumers set eventstore.orders billing --max-deliveries 5 --backoff 1s,5s,1m
  eventstore consumers set eventstore.orders billing --clear max_deliveries`,
	}
	c.RunE = t.online(func(ctx context.Context, r *remote, args []string) error {
		s := &eventstorev1.ConsumerSettings{}
		changed := func(flag string) bool { return c.Flags().Changed(flag) }
		if changed("max-deliveries") {
			s.MaxDeliveries = &maxDeliveries
		}
		if changed("max-inflight") {
			s.MaxInflight = &maxInflight
		}
		if changed("ack-wait") {
			s.AckWait = durationpb.New(ackWait)
		}
		for _, d := range backoff {
			s.Backoff = append(s.Backoff, durationpb.New(d))
		}
		if changed("order-by") {
			s.OrderBy = &orderBy
		}
		if changed("on-limit") {
			s.OnLimit = &onLimit
		}
		if changed("behind-parked") {
			s.BehindParked = &behindParked
		}
		if changed("type") || changed("tag") {
			s.Filter = &eventstorev1.ConsumerFilter{Types: types, Tags: tags}
		}
		if settingsText(s) == "" && len(clear) == 0 {
			return usage("name a setting to change, or --clear")
		}
		return r.act(ctx, func(ctx context.Context, server *server) error {
			answer, err := server.admin.ConfigureConsumer(ctx, &eventstorev1.ConfigureConsumerRequest{
				Channel: args[0], Client: name.client, Name: args[1], Settings: s, Clear: clear,
			})
			if err != nil {
				return err
			}
			return t.showConsumer(answer.GetConsumer())
		})
	})
	name.register(c)
	flags := c.Flags()
	flags.Uint32Var(&maxDeliveries, "max-deliveries", 0, "how often a message is sent at most; 0 is unlimited")
	flags.StringVar(&onLimit, "on-limit", "", "what happens then: park, skip or stall")
	flags.DurationSliceVar(&backoff, "backoff", nil, "how long the first, second, ... delivery waits for its acknowledgement: 1s,5s,1m")
	flags.DurationVar(&ackWait, "ack-wait", 0, "how long a delivery waits for its acknowledgement")
	flags.Uint32Var(&maxInflight, "max-inflight", 0, "unacknowledged messages of a member")
	flags.StringVar(&orderBy, "order-by", "", "none, aggregate, or tag:PREFIX")
	flags.StringVar(&behindParked, "behind-parked", "", "what becomes of later messages of a parked key: park or flow")
	flags.StringArrayVar(&types, "type", nil, "send only events of this type or pattern; again for any of several")
	flags.StringArrayVar(&tags, "tag", nil, "send only events with this tag; again for any of several")
	flags.StringSliceVar(&clear, "clear", nil, "settings that are no longer set at run time, such as max_deliveries; '*' for all")
	return c
}

func consumerPauseCommand(t *tool) *cobra.Command {
	var name consumerName
	c := &cobra.Command{
		Use:   "pause CHANNEL NAME",
		Short: "Stop delivery to a consumer",
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			return r.act(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.admin.PauseConsumer(ctx, &eventstorev1.PauseConsumerRequest{Channel: args[0], Client: name.client, Name: args[1]})
				if err != nil {
					return err
				}
				return t.showConsumer(answer.GetConsumer())
			})
		}),
	}
	name.register(c)
	return c
}

func consumerResumeCommand(t *tool) *cobra.Command {
	var name consumerName
	c := &cobra.Command{
		Use:   "resume CHANNEL NAME",
		Short: "Let a paused consumer go on",
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			return r.act(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.admin.ResumeConsumer(ctx, &eventstorev1.ResumeConsumerRequest{Channel: args[0], Client: name.client, Name: args[1]})
				if err != nil {
					return err
				}
				return t.showConsumer(answer.GetConsumer())
			})
		}),
	}
	name.register(c)
	return c
}

// reasonFlag is for the audit table.
func reasonFlag(c *cobra.Command, reason *string) {
	c.Flags().StringVar(reason, "reason", "", "why, for the audit table")
}

// trimmed returns whether a reason was given.
func trimmed(reason string) bool { return strings.TrimSpace(reason) != "" }
