package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

func getCommand(t *tool) *cobra.Command {
	var channel string
	var sequence, position uint64
	var decode protobufFlags
	c := &cobra.Command{
		Use:   "get [EVENT_ID]",
		Short: "Show one event in full",
		Example: `  eventstore get o1-created
  eventstore get --channel eventstore.orders --sequence 17
  eventstore get --position 48211`,
		Args: cobra.MaximumNArgs(1),
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error {
			if err := decode.loadFor(t); err != nil {
				return err
			}
			keys := len(args)
			if sequence > 0 {
				keys++
			}
			if position > 0 {
				keys++
			}
			if keys != 1 {
				return usage("give an event ID, or --channel and --sequence, or --position")
			}
			if position > 0 {
				return t.getAt(ctx, r, position, &decode)
			}
			request := &eventstorev1.GetEventRequest{Channel: channel}
			if sequence > 0 {
				if channel == "" {
					return usage("--sequence is one of a channel: give --channel")
				}
				request.Key = &eventstorev1.GetEventRequest_Sequence{Sequence: sequence}
			} else {
				request.Key = &eventstorev1.GetEventRequest_EventId{EventId: args[0]}
			}
			return r.call(ctx, func(ctx context.Context, s *server) error {
				answer, err := s.events.GetEvent(ctx, request)
				if err != nil {
					return err
				}
				return t.show(decode.event(answer.GetEvent()))
			})
		}),
	}
	decode.registerDecoding(c.Flags())
	c.Flags().StringVarP(&channel, "channel", "c", "", "channel of the event")
	c.Flags().Uint64VarP(&sequence, "sequence", "s", 0, "sequence in the channel")
	c.Flags().Uint64VarP(&position, "position", "p", 0, "position in the order of all events")
	return c
}

// getAt shows the event at a position.
func (t *tool) getAt(ctx context.Context, r *remote, position uint64, decode *protobufFlags) error {
	var found *eventstorev1.RecordedEvent
	s := &span{query: &eventstorev1.Query{}, position: position, toPosition: position, limit: 1}
	err := r.read(ctx, s, func(events []*eventstorev1.RecordedEvent) error {
		for _, e := range events {
			found = e
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found == nil:
		return notFound("there is no event at position %d that you may read", position)
	}
	return t.show(decode.event(found))
}

// show prints an event in full.
func (t *tool) show(e *eventjson.Event) error {
	if t.json() {
		return t.newEventsOf(e)
	}
	field := func(name, value string) error {
		if value == "" {
			return nil
		}
		return t.print("%-14s %s", name+":", value)
	}
	recorded, occurred := "", ""
	if e.RecordedAt != nil {
		recorded = t.time(*e.RecordedAt)
	}
	if e.OccurredAt != nil {
		occurred = t.time(*e.OccurredAt)
	}
	rows := [][2]string{
		{"position", strconv.FormatUint(e.Position, 10)}, {"channel", e.Channel}, {"sequence", strconv.FormatUint(e.Sequence, 10)}, {"id", e.ID},
		{"type", e.Type}, {"aggregate", aggregateName(e.AggregateType, e.AggregateID)}, {"version", strconv.FormatUint(e.Version, 10)},
		{"recorded at", recorded}, {"occurred at", occurred}, {"tags", strings.Join(e.Tags, ", ")}, {"stream", e.Stream}, {"content type", e.ContentType},
	}
	for _, row := range rows {
		if err := field(row[0], row[1]); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(e.Metadata)) {
		if err := field("metadata", key+" = "+e.Metadata[key]); err != nil {
			return err
		}
	}
	pretty, ok := printable.Indent(e.Data, prettyBytes)
	if !ok {
		return field("data", dataOf(e))
	}
	if err := t.print("data:"); err != nil {
		return err
	}
	for line := range strings.Lines(pretty) {
		if err := t.print("  %s", strings.TrimRight(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}

// newEventsOf prints one event as JSON.
func (t *tool) newEventsOf(e *eventjson.Event) error {
	out := t.newEvents(nil)
	if err := out.one(e); err != nil {
		return err
	}
	if err := out.out.Flush(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
