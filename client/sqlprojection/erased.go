package sqlprojection

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
)

// typeEventsErased is the type of the events of eventstore.ErasuresChannel.
const typeEventsErased = "EventsErased"

// readOver is how many positions between erased events are read, and passed over, rather than asked for anew.
const readOver = 1000

// erased calls handle with the events that were erased, as they are now, of those types for which the file has statements. told is the
// event that says so.
func (a *applier) erased(ctx context.Context, told *eventstore.Event, handle func(*eventstore.Event) error) error {
	if len(a.file.erased) == 0 {
		return nil
	}
	var what eventstore.EventsErased
	if err := json.Unmarshal(told.Payload, &what); err != nil {
		return fmt.Errorf("the data of an %s: %w", typeEventsErased, err)
	}
	var query eventstore.Query
	for types := range slices.Chunk(slices.Sorted(maps.Keys(a.file.erased)), 100) {
		query.Items = append(query.Items, eventstore.QueryItem{EventTypes: types, Channels: []string{what.Channel}, AggregateTypes: a.file.Source.AggregateTypes})
	}
	for left := what.Positions; len(left) > 0; {
		n := 1
		for n < len(left) && left[n][0]-left[n-1][1] < readOver {
			n++
		}
		ranges := left[:n]
		left = left[n:]
		err := a.client.AtLeast(told.Position).ReadAll(ctx, query, eventstore.ReadOptions{Start: eventstore.FromPosition(ranges[0][0])}, func(e *eventstore.Event) error {
			if e.Position > ranges[n-1][1] {
				return eventstore.ErrStop
			}
			if e.Erased == 0 || !slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= e.Position && e.Position <= r[1] }) {
				return nil
			}
			return handle(e)
		})
		if err != nil {
			return fmt.Errorf("read what was erased of channel %q: %w", what.Channel, err)
		}
	}
	return nil
}
