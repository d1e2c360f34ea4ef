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

// selection is what a request wants of a channel.
type selection struct {
	filter *eventstorev1.Filter
	since  int64 // nothing that was recorded before, in ns since 1970
}

// selectionOf checks a filter and a time from which on it selects, nil: all.
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
	if err := from.CheckValid(); err != nil {
		return selection{}, invalid("from_time: %w", err)
	}
	ns := int64(math.MaxInt64) // later than 2262, which is beyond what a channel can hold
	switch t := from.AsTime(); {
	case t.Year() < 1970:
		ns = 0
	case t.Year() < 2262:
		ns = t.UnixNano()
	}
	return selection{f, ns}, nil
}

// has says whether a message, which is an event or nil, is selected. One that is none is by an empty filter only.
func (s selection) has(m stores.Message, ev *eventstorev1.Event) bool {
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
