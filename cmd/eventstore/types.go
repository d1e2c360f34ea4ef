package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// typeCount is what types prints of a type of event.
type typeCount struct {
	Type           string     `json:"type"`
	Events         uint64     `json:"events"`
	FirstPosition  uint64     `json:"first_position"`
	LastPosition   uint64     `json:"last_position"`
	LastRecordedAt *time.Time `json:"last_recorded_at,omitempty"`
}

func typesCommand(t *tool) *cobra.Command {
	var filter filterFlags
	var span spanFlags
	c := &cobra.Command{
		Use:   "types [CHANNEL...]",
		Short: "Count events by type",
		Long:  "Counts events by type. It reads all events that the filters and the span select, so limit them on a large log: --from-time 1h.",
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error {
			s, err := span.span(ctx, t, r, &filter, args)
			if err != nil {
				return err
			}
			head, err := r.head(ctx)
			if err != nil {
				return err
			}
			first := max(s.position, 1)
			p := t.newProgress("positions", head-min(head, first-1))
			counts := make(map[string]*typeCount)
			total := uint64(0)
			err = r.read(ctx, s, func(events []*eventstorev1.RecordedEvent) error {
				for _, e := range events {
					name := e.GetEvent().GetEventType()
					n := counts[name]
					if n == nil {
						n = &typeCount{Type: name, FirstPosition: e.GetPosition()}
						counts[name] = n
					}
					n.Events++
					n.LastPosition, n.LastRecordedAt = e.GetPosition(), timePointer(e.GetRecordedAt())
					total++
				}
				p.at(s.position - min(s.position, first))
				return nil
			})
			p.clear()
			if err != nil {
				return err
			}
			out := t.newList("no event matches", "TYPE", "EVENTS", "SHARE", "FIRST", "LAST", "LAST EVENT")
			all := slices.SortedFunc(maps.Values(counts), func(a, b *typeCount) int {
				return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Type, b.Type))
			})
			for _, n := range all {
				share := fmt.Sprintf("%.1f %%", 100*float64(n.Events)/float64(total))
				if err := out.add(n, dash(n.Type), number(n.Events), share, number(n.FirstPosition), number(n.LastPosition), t.time(*n.LastRecordedAt)); err != nil {
					return err
				}
			}
			return out.end()
		}),
	}
	filter.register(c.Flags())
	span.register(c.Flags(), false)
	return c
}
