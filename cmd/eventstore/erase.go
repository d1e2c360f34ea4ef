package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// erasing are the flags of the commands that erase.
type erasing struct {
	t      *tool
	reason string
	dryRun bool
}

func eraseCommand(t *tool) *cobra.Command {
	return noun("erase", "Erase the data of events for good", eraseAggregateCommand(t), eraseEventCommand(t), eraseTagCommand(t), erasuresCommand(t))
}

func (e *erasing) register(c *cobra.Command) {
	c.Flags().StringVar(&e.reason, "reason", "", "why, without personal data: it is kept")
	c.Flags().BoolVar(&e.dryRun, "dry-run", false, "only say what would be erased")
	e.t.yesFlag(c)
}

func eraseAggregateCommand(t *tool) *cobra.Command {
	e := erasing{t: t}
	var channel, typ string
	c := &cobra.Command{
		Use:   "aggregate ID --reason TEXT",
		Short: "Erase the events of an aggregate",
		Long: `Erases the data, metadata and tags of all events of an aggregate, their copies on other channels, and their messages in streams. Their
identifiers, types, versions and times stay, as does their place in the log: docs/operate/erasure.md.`,
		Example: `  eventstore erase aggregate customer-17 --reason 'request 2026-114'`,
		Args:    cobra.ExactArgs(1),
	}
	c.RunE = t.online(func(ctx context.Context, r *remote, args []string) error {
		req := &eventstorev1.EraseEventsRequest{Channel: channel, Events: &eventstorev1.EraseEventsRequest_AggregateId{AggregateId: args[0]}}
		if c.Flags().Changed("type") {
			req.AggregateType = &typ
		}
		return e.run(ctx, r, req)
	})
	c.Flags().StringVar(&channel, "channel", "", "only events of this channel")
	c.Flags().StringVar(&typ, "type", "", "only of the aggregate of this type")
	e.register(c)
	return c
}

func eraseEventCommand(t *tool) *cobra.Command {
	e := erasing{t: t}
	c := &cobra.Command{
		Use:     "event CHANNEL SEQUENCE --reason TEXT",
		Short:   "Erase one event",
		Example: `  eventstore erase event eventstore.orders 17 --reason 'request 2026-114'`,
		Args:    cobra.ExactArgs(2),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			sequence, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil || sequence == 0 {
				return usage("%q is not a sequence", args[1])
			}
			return e.run(ctx, r, &eventstorev1.EraseEventsRequest{Channel: args[0], Events: &eventstorev1.EraseEventsRequest_Sequence{Sequence: sequence}})
		}),
	}
	e.register(c)
	return c
}

func eraseTagCommand(t *tool) *cobra.Command {
	e := erasing{t: t}
	var channel string
	c := &cobra.Command{
		Use:     "by-tag TAG --reason TEXT",
		Short:   "Erase the events with a tag",
		Example: `  eventstore erase by-tag customer:c-17 --reason 'request 2026-114'`,
		Args:    cobra.ExactArgs(1),
		RunE: t.online(func(ctx context.Context, r *remote, args []string) error {
			return e.run(ctx, r, &eventstorev1.EraseEventsRequest{Channel: channel, Events: &eventstorev1.EraseEventsRequest_Tag{Tag: args[0]}})
		}),
	}
	c.Flags().StringVar(&channel, "channel", "", "only events of this channel")
	e.register(c)
	return c
}

// run erases events, once somebody who knows how many there are agrees.
func (e *erasing) run(ctx context.Context, r *remote, req *eventstorev1.EraseEventsRequest) error {
	if !e.dryRun && !trimmed(e.reason) {
		return usage("--reason says why, for the table of erasures: it is required")
	}
	req.Reason = e.reason
	if e.dryRun || !e.t.yes {
		req.DryRun = true
		found, err := e.send(ctx, r, req)
		if err != nil || e.dryRun {
			return e.show(found, err)
		}
		if err := e.t.confirm("erase %s for good", countsText(found)); err != nil {
			return err
		}
	}
	req.DryRun = false
	return e.show(e.send(ctx, r, req))
}

func (e *erasing) send(ctx context.Context, r *remote, req *eventstorev1.EraseEventsRequest) (answer *eventstorev1.EraseEventsResponse, err error) {
	err = r.actSlowly(ctx, func(ctx context.Context, s *server) error {
		answer, err = s.admin.EraseEvents(ctx, req)
		return err
	})
	return answer, err
}

func countsText(answer *eventstorev1.EraseEventsResponse) string {
	var channels []string
	for _, c := range answer.GetChannels() {
		var counts []string
		if c.GetEvents() > 0 {
			counts = append(counts, number(c.GetEvents())+" events")
		}
		if c.GetCopies() > 0 {
			counts = append(counts, number(c.GetCopies())+" copies")
		}
		channels = append(channels, c.GetChannel()+": "+strings.Join(counts, " and "))
	}
	return strings.Join(channels, ", ")
}

// show prints what was erased.
func (e *erasing) show(answer *eventstorev1.EraseEventsResponse, err error) error {
	if err != nil {
		return err
	}
	if e.t.json() {
		return e.t.printJSON(messageJSON(answer))
	}
	if e.dryRun {
		return e.t.print("would erase %s", countsText(answer))
	}
	if err := e.t.print("erased %s (erasure %d)", countsText(answer), answer.GetErasure().GetId()); err != nil {
		return err
	}
	for _, s := range answer.GetStreams() {
		if err := e.t.print("stream %s: %s messages deleted", s.GetStream(), number(s.GetDeleted())); err != nil {
			return err
		}
		if s.GetError() != "" {
			e.t.note("stream %s: %s; the server tries again", s.GetStream(), s.GetError())
		}
	}
	return nil
}

func erasuresCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "ls",
		Short: "List erasures, the newest first",
		Args:  cobra.NoArgs,
		RunE: t.online(func(ctx context.Context, r *remote, _ []string) error {
			out := t.newList("nothing was erased", "ERASURE", "REQUESTED", "WHO", "STATE", "EVENTS", "COPIES", "ERASED", "REASON")
			err := pages(ctx, r, func(ctx context.Context, s *server, token string) ([]*eventstorev1.Erasure, string, error) {
				answer, err := s.admin.ListErasures(ctx, &eventstorev1.ListErasuresRequest{PageSize: 1000, PageToken: token})
				return answer.GetErasures(), answer.GetNextPageToken(), err
			}, func(e *eventstorev1.Erasure) error {
				return out.add(messageJSON(e), strconv.FormatUint(e.GetId(), 10), t.timestamp(e.GetRequestedAt()), dash(e.GetPrincipal()), e.GetState(),
					number(e.GetEvents()), number(e.GetCopies()), t.timestamp(e.GetErasedAt()), e.GetReason())
			})
			if err != nil {
				return err
			}
			return out.end()
		}),
	}
}
