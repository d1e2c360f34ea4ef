package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// statsJSON is what stats prints.
type statsJSON struct {
	Position       uint64     `json:"position"`
	Channels       uint64     `json:"channels"`
	Events         uint64     `json:"events"`
	Bytes          uint64     `json:"bytes"`
	LargestChannel string     `json:"largest_channel,omitempty"`
	FirstRecorded  *time.Time `json:"first_recorded_at,omitempty"`
	LastRecorded   *time.Time `json:"last_recorded_at,omitempty"`
	LastHour       *uint64    `json:"events_last_hour,omitempty"`
}

func statsCommand(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "stats",
		Short: "Show how much the event store holds",
		Args:  cobra.NoArgs,
		RunE: t.connected(func(ctx context.Context, r *remote, _ []string) error {
			var s statsJSON
			largest := uint64(0)
			err := r.channels(ctx, "", func(c *eventstorev1.Channel) error {
				s.Channels++
				s.Events += c.GetEvents()
				s.Bytes += c.GetBytes()
				if c.GetEvents() > largest {
					largest, s.LargestChannel = c.GetEvents(), c.GetName()
				}
				if at := timePointer(c.GetLastRecordedAt()); at != nil && (s.LastRecorded == nil || at.After(*s.LastRecorded)) {
					s.LastRecorded = at
				}
				return nil
			})
			if err != nil {
				return err
			}
			if s.Position, err = r.head(ctx); err != nil {
				return err
			}
			if s.FirstRecorded, err = r.firstRecorded(ctx); err != nil {
				return err
			}
			if s.LastHour, err = r.since(ctx, time.Now().Add(-time.Hour), s.Position); err != nil {
				return err
			}
			if t.json() {
				return t.printJSON(s)
			}
			span := func(at *time.Time) string {
				if at == nil {
					return "-"
				}
				return t.time(*at)
			}
			hour := uint64(0)
			if s.LastHour != nil {
				hour = *s.LastHour
			}
			for _, row := range [][2]string{
				{"last position", number(s.Position)}, {"channels", number(s.Channels)}, {"events", number(s.Events)}, {"size", bytesOf(s.Bytes)},
				{"largest channel", dash(s.LargestChannel)}, {"first event", span(s.FirstRecorded)}, {"last event", span(s.LastRecorded)}, {"in the last hour", number(hour)},
			} {
				if err := t.print("%-17s %s", row[0]+":", row[1]); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// firstRecorded returns the time of the first event.
func (r *remote) firstRecorded(ctx context.Context) (at *time.Time, err error) {
	err = r.read(ctx, &span{query: &eventstorev1.Query{}, limit: 1}, func(events []*eventstorev1.RecordedEvent) error {
		for _, e := range events {
			at = timePointer(e.GetRecordedAt())
		}
		return nil
	})
	return at, err
}

// since returns how many positions there are from a time up to the head.
func (r *remote) since(ctx context.Context, from time.Time, head uint64) (*uint64, error) {
	n := uint64(0)
	err := r.read(ctx, &span{query: &eventstorev1.Query{}, time: from, limit: 1}, func(events []*eventstorev1.RecordedEvent) error {
		for _, e := range events {
			n = head + 1 - min(head+1, e.GetPosition())
		}
		return nil
	})
	return &n, err
}
