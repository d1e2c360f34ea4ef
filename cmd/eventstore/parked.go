package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func parkedCommand(t *tool) *cobra.Command {
	var name consumerName
	c := &cobra.Command{
		Use:   "parked CHANNEL NAME",
		Short: "List the parked messages of a consumer",
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			out := t.newList("nothing is parked", "SEQUENCE", "POSITION", "TYPE", "AGGREGATE", "KEY", "DELIVERIES", "LAST DELIVERY", "REASON")
			err := pages(ctx, r, func(ctx context.Context, s *server, token string) ([]*eventstorev1.ParkedMessage, string, error) {
				answer, err := s.admin.ListParked(ctx, &eventstorev1.ListParkedRequest{Channel: args[0], Client: name.client, Name: args[1], PageSize: 1000, PageToken: token})
				return answer.GetMessages(), answer.GetNextPageToken(), err
			}, func(m *eventstorev1.ParkedMessage) error {
				return out.add(messageJSON(m), number(m.GetSequence()), number(m.GetPosition()), dash(m.GetEventType()),
					dash(aggregateName(m.GetAggregateType(), m.GetAggregateId())), dash(m.GetKey()), number(m.GetDeliveries()),
					t.timestamp(m.GetLastDeliveredAt()), dash(m.GetReason()))
			})
			if err != nil {
				return err
			}
			return out.end()
		}),
	}
	name.register(c)
	return c
}

// parkedChoice is some of the parked messages of a consumer, or all.
type parkedChoice struct{ all bool }

func (p *parkedChoice) register(c *cobra.Command) {
	c.Args = cobra.MinimumNArgs(2)
	c.Flags().BoolVar(&p.all, "all", false, "all of them")
}

// sequences returns those that the arguments name.
func (p *parkedChoice) sequences(args []string) (sequences []uint64, err error) {
	for _, arg := range args {
		sequence, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return nil, usage("%q is not a sequence", arg)
		}
		sequences = append(sequences, sequence)
	}
	if p.all == (len(sequences) > 0) {
		return nil, usage("name sequences, or give --all")
	}
	return sequences, nil
}

// countJSON is what replay and discard print.
type countJSON struct {
	Replayed  *uint64 `json:"replayed,omitempty"`
	Discarded *uint64 `json:"discarded,omitempty"`
}

func replayCommand(t *tool) *cobra.Command {
	var name consumerName
	var choice parkedChoice
	c := &cobra.Command{
		Use:     "replay CHANNEL NAME SEQUENCE... | --all",
		Short:   "Send parked messages to the consumer again",
		Example: `  eventstore consumers replay eventstore.orders billing 17`,
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			sequences, err := choice.sequences(args[2:])
			if err != nil {
				return err
			}
			return r.act(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.admin.ReplayParked(ctx, &eventstorev1.ReplayParkedRequest{
					Channel: args[0], Client: name.client, Name: args[1], Sequences: sequences, All: choice.all,
				})
				if err != nil {
					return err
				}
				if t.json() {
					return t.printJSON(countJSON{Replayed: &answer.Replayed})
				}
				return t.print("replayed %s", number(answer.GetReplayed()))
			})
		}),
	}
	name.register(c)
	choice.register(c)
	return c
}

func discardCommand(t *tool) *cobra.Command {
	var name consumerName
	var choice parkedChoice
	var reason string
	c := &cobra.Command{
		Use:     "discard CHANNEL NAME SEQUENCE... | --all",
		Short:   "Give up parked messages; the events stay in the log",
		Example: `  eventstore consumers discard eventstore.orders billing 17 --reason 'test order'`,
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			sequences, err := choice.sequences(args[2:])
			if err != nil {
				return err
			}
			if !trimmed(reason) {
				return usage("--reason says why, for the audit table: it is required")
			}
			if err := t.confirm("give up parked messages of consumer %s, which will not get them", consumerText(args[0], name.client, args[1])); err != nil {
				return err
			}
			return r.act(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.admin.DiscardParked(ctx, &eventstorev1.DiscardParkedRequest{
					Channel: args[0], Client: name.client, Name: args[1], Sequences: sequences, All: choice.all, Reason: reason,
				})
				if err != nil {
					return err
				}
				if t.json() {
					return t.printJSON(countJSON{Discarded: &answer.Discarded})
				}
				return t.print("discarded %s", number(answer.GetDiscarded()))
			})
		}),
	}
	name.register(c)
	choice.register(c)
	reasonFlag(c, &reason)
	t.yesFlag(c)
	return c
}
