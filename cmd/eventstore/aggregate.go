package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nats-eventstore/nats-eventstore/proto/eventjson"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/printable"
)

// aggregateJSON is what aggregate prints.
type aggregateJSON struct {
	Channel       string             `json:"channel"`
	AggregateType string             `json:"aggregate_type,omitempty"`
	AggregateID   string             `json:"aggregate_id"`
	Version       uint64             `json:"version"`         // of the state
	State         any                `json:"state,omitempty"` // the objects of event_data, merged
	Diff          []change           `json:"diff,omitempty"`
	Events        []*eventjson.Event `json:"events"`
}

func aggregateCommand(t *tool) *cobra.Command {
	var channel, kind, at, diff string
	var decode protobufFlags
	c := &cobra.Command{
		Use:   "aggregate ID",
		Short: "Show the history of an aggregate, and its state at a version or a time",
		Long: `Shows the events of an aggregate, and the state that results if the JSON objects of their event_data are merged: a field of a later event
replaces that of an earlier one, objects are merged field by field, and null removes a field (RFC 7396). That is what happened to the
fields, which your application may read otherwise.`,
		Example: `  eventstore aggregate o-17
  eventstore aggregate o-17 --at 3
  eventstore aggregate o-17 --at '2026-11-24 18:00'
  eventstore aggregate o-17 --diff 3..5`,
		Args: cobra.ExactArgs(1),
		RunE: t.connected(func(ctx context.Context, r *remote, args []string) error {
			if err := decode.loadFor(t); err != nil {
				return err
			}
			filter := filterFlags{aggregates: args}
			if kind != "" {
				filter.aggregateTypes = []string{kind}
			}
			var channels []string
			if channel != "" {
				channels = []string{channel}
			}
			q, err := filter.query(channels)
			if err != nil {
				return err
			}
			var events []*eventjson.Event
			err = r.read(ctx, &span{query: q}, func(read []*eventstorev1.RecordedEvent) error {
				for _, e := range read {
					events = append(events, decode.event(e))
				}
				return nil
			})
			if err != nil {
				return err
			}
			if err := oneAggregate(args[0], events); err != nil {
				return err
			}
			if diff != "" {
				return t.diffAggregate(events, diff)
			}
			if events, err = t.upTo(events, at); err != nil {
				return err
			}
			return t.showAggregate(events)
		}),
	}
	decode.registerDecoding(c.Flags())
	c.Flags().StringVarP(&channel, "channel", "c", "", "channel of the aggregate, if several have one of this ID")
	c.Flags().StringVar(&kind, "aggregate-type", "", "its type, likewise")
	c.Flags().StringVar(&at, "at", "", "show the state at this version, or at "+timeHelp)
	c.Flags().StringVar(&diff, "diff", "", "show what changed between two versions: 3..5, or 3.. up to the last")
	c.MarkFlagsMutuallyExclusive("at", "diff")
	return c
}

// oneAggregate returns an error unless the events are those of one aggregate.
func oneAggregate(id string, events []*eventjson.Event) error {
	if len(events) == 0 {
		return notFound("no aggregate has the ID %q, or you may not read its channel", id)
	}
	var names []string
	for _, e := range events {
		name := fmt.Sprintf("%s on channel %s", aggregateName(e.AggregateType, e.AggregateID), e.Channel)
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > 1 {
		return usage("several aggregates have the ID %q: %s: choose with --channel or --aggregate-type", id, strings.Join(names, ", "))
	}
	return nil
}

// upTo returns the events up to a version or a time.
func (t *tool) upTo(events []*eventjson.Event, at string) ([]*eventjson.Event, error) {
	if at == "" {
		return events, nil
	}
	var until func(*eventjson.Event) bool
	if version, err := strconv.ParseUint(at, 10, 64); err == nil {
		if last := events[len(events)-1].Version; version > last {
			return nil, notFound("the aggregate is at version %d: it has no version %d yet", last, version)
		}
		until = func(e *eventjson.Event) bool { return e.Version <= version }
	} else {
		limit, err := t.when("at", at)
		if err != nil {
			return nil, err
		}
		until = func(e *eventjson.Event) bool { return e.RecordedAt != nil && !e.RecordedAt.After(limit) }
	}
	n := 0
	for n < len(events) && until(events[n]) {
		n++
	}
	if n == 0 {
		return nil, notFound("the aggregate did not exist yet at %s: its first event was recorded at %s", at, t.time(*events[0].RecordedAt))
	}
	return events[:n], nil
}

func (t *tool) showAggregate(events []*eventjson.Event) error {
	last := events[len(events)-1]
	state, left := fold(events)
	if t.json() {
		return t.printJSON(aggregateJSON{Channel: last.Channel, AggregateType: last.AggregateType, AggregateID: last.AggregateID, Version: last.Version, State: state, Events: events})
	}
	if err := t.print("%s on channel %s", aggregateName(last.AggregateType, last.AggregateID), last.Channel); err != nil {
		return err
	}
	out := t.newList("", "VERSION", "TIME", "TYPE", "POSITION", "DATA")
	width := t.width()
	for _, e := range events {
		data := dataOf(e)
		if width > 0 {
			data = clip(data, max(width-60, 20))
		}
		if err := out.add(nil, number(e.Version), t.time(timeOf(e.RecordedAt)), e.Type, number(e.Position), data); err != nil {
			return err
		}
	}
	if err := out.end(); err != nil {
		return err
	}
	if left > 0 {
		t.note("%d events have no JSON object as their data, and are not part of the state", left)
	}
	if err := t.print("state at version %d:", last.Version); err != nil {
		return err
	}
	return t.pretty(state)
}

// diffAggregate shows what changed between two versions.
func (t *tool) diffAggregate(events []*eventjson.Event, versions string) error {
	first, second, found := strings.Cut(versions, "..")
	if second == "" {
		second = strconv.FormatUint(events[len(events)-1].Version, 10)
	}
	from, err := strconv.ParseUint(first, 10, 64)
	to, err2 := strconv.ParseUint(second, 10, 64)
	if !found || err != nil || err2 != nil || from > to {
		return usage("--diff %q: write two versions, such as 3..5", versions)
	}
	upper, err := t.upTo(events, second)
	if err != nil {
		return err
	}
	n := 0
	for n < len(upper) && upper[n].Version <= from {
		n++
	}
	before, _ := fold(upper[:n])
	after, _ := fold(upper)
	changes := differences(before, after)
	last := upper[len(upper)-1]
	if t.json() {
		if changes == nil {
			changes = []change{}
		}
		return t.printJSON(aggregateJSON{Channel: last.Channel, AggregateType: last.AggregateType, AggregateID: last.AggregateID, Version: last.Version, State: after, Diff: changes, Events: upper[n:]})
	}
	for _, e := range upper[n:] {
		if err := t.print("# version %d, %s: %s", e.Version, t.time(timeOf(e.RecordedAt)), e.Type); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := t.print("%s", c); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		t.note("nothing changed from version %d to version %d", from, to)
	}
	return nil
}

// prettyBytes bounds JSON with a member on each line; beyond it, what nests deeply would be gigabytes of spaces.
const prettyBytes = 16 << 20

// pretty prints a value as JSON over several lines, or over one if they would be too long.
func (t *tool) pretty(value any) error {
	text := compact(value)
	if lines, ok := printable.Indent([]byte(text), prettyBytes); ok {
		text = lines
	}
	for line := range strings.Lines(text) {
		if err := t.print("%s", strings.TrimRight(line, "\n")); err != nil {
			return err
		}
	}
	return nil
}

func timeOf(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}
