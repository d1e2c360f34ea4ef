package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// yesFlag registers --yes for a command that cannot be undone.
func (t *tool) yesFlag(c *cobra.Command) {
	c.Flags().BoolVarP(&t.yes, "yes", "y", false, "do it without asking")
}

func consumerResetCommand(t *tool) *cobra.Command {
	var name consumerName
	var sequence, position uint64
	var at string
	var end bool
	c := &cobra.Command{
		Use:   "reset CHANNEL NAME --to-sequence N | --to-position N | --to-time TIME | --to-end",
		Short: "Say which message a consumer is sent next",
		Long: `Says which message a consumer is sent next. What it was sent before is forgotten, except what is parked: messages behind the new position
are not sent, or those before the old one are sent again.`,
		Example: `  eventstore consumers reset eventstore.orders billing --to-time yesterday
  eventstore consumers reset eventstore.orders billing --to-sequence 1 --yes`,
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			request := &eventstorev1.SetConsumerPositionRequest{Channel: args[0], Client: name.client, Name: args[1]}
			to, given := "", 0
			if sequence > 0 {
				request.Next, to = &eventstorev1.SetConsumerPositionRequest_Sequence{Sequence: sequence}, fmt.Sprintf("sequence %d", sequence)
				given++
			}
			if position > 0 {
				request.Next, to = &eventstorev1.SetConsumerPositionRequest_Position{Position: position}, fmt.Sprintf("position %d", position)
				given++
			}
			if at != "" {
				when, err := t.when("to-time", at)
				if err != nil {
					return err
				}
				request.Next, to = &eventstorev1.SetConsumerPositionRequest_Time{Time: timestamppb.New(when)}, t.time(when)
				given++
			}
			if end {
				request.Next, to = &eventstorev1.SetConsumerPositionRequest_End{End: true}, "the end"
				given++
			}
			if given != 1 {
				return usage("give one of --to-sequence, --to-position, --to-time and --to-end")
			}
			if err := t.confirm("set consumer %s to %s", consumerText(args[0], name.client, args[1]), to); err != nil {
				return err
			}
			return r.act(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.admin.SetConsumerPosition(ctx, request)
				if err != nil {
					return err
				}
				return t.showConsumer(answer.GetConsumer())
			})
		}),
	}
	name.register(c)
	c.Flags().Uint64Var(&sequence, "to-sequence", 0, "the message with this sequence is the next")
	c.Flags().Uint64Var(&position, "to-position", 0, "the first event of the channel at this position or later")
	c.Flags().StringVar(&at, "to-time", "", "the first one that was stored at "+timeHelp)
	c.Flags().BoolVar(&end, "to-end", false, "the next one that is stored")
	t.yesFlag(c)
	return c
}

func consumerSkipCommand(t *tool) *cobra.Command {
	var name consumerName
	var reason string
	c := &cobra.Command{
		Use:     "skip CHANNEL NAME SEQUENCE",
		Short:   "Take one message as acknowledged",
		Example: `  eventstore consumers skip eventstore.orders billing 17 --reason 'amount is negative'`,
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			sequence, err := strconv.ParseUint(args[2], 10, 64)
			if err != nil {
				return usage("%q is not a sequence", args[2])
			}
			if err := t.confirm("skip message %d for consumer %s, which will not get it", sequence, consumerText(args[0], name.client, args[1])); err != nil {
				return err
			}
			return r.act(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.admin.SkipMessage(ctx, &eventstorev1.SkipMessageRequest{
					Channel: args[0], Client: name.client, Name: args[1], Sequence: sequence, Reason: reason,
				})
				if err != nil {
					return err
				}
				return t.showConsumer(answer.GetConsumer())
			})
		}),
	}
	name.register(c)
	c.Args = cobra.ExactArgs(3)
	reasonFlag(c, &reason)
	t.yesFlag(c)
	return c
}

func consumerDropCommand(t *tool) *cobra.Command {
	var name consumerName
	var force bool
	c := &cobra.Command{
		Use:   "drop CHANNEL NAME",
		Short: "Remove a consumer with its position, settings and parked messages",
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			what := consumerText(args[0], name.client, args[1])
			if err := t.confirm("remove consumer %s with its position, settings and parked messages", what); err != nil {
				return err
			}
			err := r.act(ctx, func(ctx context.Context, s *server) error {
				_, err := s.admin.DropConsumer(ctx, &eventstorev1.DropConsumerRequest{Channel: args[0], Client: name.client, Name: args[1], Force: force})
				return err
			})
			if err != nil {
				return err
			}
			t.note("removed consumer %s", what)
			return nil
		}),
	}
	name.register(c)
	c.Flags().BoolVar(&force, "force", false, "although it has active members, whose clients are not told")
	t.yesFlag(c)
	return c
}
