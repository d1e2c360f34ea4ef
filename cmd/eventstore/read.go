package main

import (
	"context"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

func readCommand(t *tool) *cobra.Command {
	var filter filterFlags
	var span spanFlags
	var decode protobufFlags
	c := &cobra.Command{
		Use:   "read [CHANNEL...]",
		Short: "Read events of channels, or of all channels",
		Long: `Reads events by position. CHANNEL is a name or a pattern: * stands for one token between dots, > for the rest.
All filters must match.`,
		Example: `  eventstore read eventstore.orders --aggregate o-17
  eventstore read --tag customer:c-9 --from-time yesterday
  eventstore read 'eventstore.>' --backward --limit 20 -o json`,
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error {
			if err := decode.loadFor(t); err != nil {
				return err
			}
			s, err := span.span(ctx, t, r, &filter, args)
			if err != nil {
				return err
			}
			out := t.newEvents(&decode)
			return r.read(ctx, s, func(events []*eventstorev1.RecordedEvent) error { return out.add(events) })
		}),
	}
	filter.register(c.Flags())
	decode.registerDecoding(c.Flags())
	span.register(c.Flags(), true)
	return c
}
