package api

import (
	"slices"
	"strings"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
)

// maxTypes bounds the event types of a filter.
const maxTypes = 100

func checkFilter(f *eventstorev1.Filter) error {
	if n := len(f.GetEventTypes()); n > maxTypes {
		return invalid("%d event types: a filter has at most %d", n, maxTypes)
	}
	if slices.Contains(f.GetEventTypes(), "") {
		return invalid("an event type of the filter is empty")
	}
	return nil
}

// matches says whether a filter selects an event. What is no event is selected by an empty filter only.
func matches(f *eventstorev1.Filter, ev *eventstorev1.Event) bool {
	if types := f.GetEventTypes(); len(types) > 0 && !slices.Contains(types, ev.GetEventType()) {
		return false
	}
	if typ := f.GetAggregateType(); typ != "" && typ != ev.GetAggregateType() {
		return false
	}
	prefix := f.GetAggregateIdPrefix()
	return prefix == "" || ev != nil && strings.HasPrefix(ev.GetAggregateId(), prefix)
}
