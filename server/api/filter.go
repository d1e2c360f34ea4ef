package api

import (
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// maxTypes bounds the event types of a filter.
const maxTypes = 100

// selection is what a request selects from a channel.
type selection struct {
	filter   *eventstorev1.Filter
	since    int64 // earliest recorded time, in ns since 1970
	payloads bool  // return the stored messages, too
}

// selectionOf validates a filter and an optional start time.
func selectionOf(f *eventstorev1.Filter, from *timestamppb.Timestamp) (selection, error) {
	if n := len(f.GetEventTypes()); n > maxTypes {
		return selection{}, invalid("%d event types: a filter has at most %d", n, maxTypes)
	}
	if slices.Contains(f.GetEventTypes(), "") {
		return selection{}, invalid("an event type of the filter is empty")
	}
	if from == nil {
		return selection{filter: f}, nil
	}
	ns, err := nanoseconds(from)
	return selection{filter: f, since: ns}, err
}

// nanoseconds returns a start time in ns since 1970, at least 0.
func nanoseconds(from *timestamppb.Timestamp) (int64, error) {
	if err := from.CheckValid(); err != nil {
		return 0, invalid("from_time: %w", err)
	}
	switch t := from.AsTime(); {
	case t.Year() < 1970:
		return 0, nil
	case t.Year() < 2262:
		return t.UnixNano(), nil
	}
	return math.MaxInt64, nil // no channel holds a time after 2262
}

// matches reports whether a message is selected. ev is nil if the message is not an event; only an empty filter selects it.
func (s selection) matches(m stores.Message, ev *eventstorev1.Event) bool {
	if m.Timestamp < s.since {
		return false
	}
	f := s.filter
	if types := f.GetEventTypes(); len(types) > 0 && !slices.Contains(types, ev.GetEventType()) {
		return false
	}
	if typ := f.GetAggregateType(); typ != "" && typ != ev.GetAggregateType() {
		return false
	}
	prefix := f.GetAggregateIdPrefix()
	return prefix == "" || ev != nil && strings.HasPrefix(ev.GetAggregateId(), prefix)
}
