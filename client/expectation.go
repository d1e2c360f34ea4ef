package eventstore

import eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"

// Expectation is what an append expects of an aggregate or, from NoneAfter, of all events. An append stores its events only
// if all its expectations hold.
type Expectation struct {
	channel     string // "": that of the append
	expectation *eventstorev1.Expectation
	condition   *eventstorev1.Condition // in place of expectation
}

// NoEvents expects that the aggregate has no events.
func NoEvents(aggregateType, aggregateID string) Expectation {
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_NONE, 0)
}

// Exists expects that the aggregate has events.
func Exists(aggregateType, aggregateID string) Expectation {
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_EXISTS, 0)
}

// AtVersion expects that the aggregate's last event has this version. Version 0 means NoEvents.
func AtVersion(aggregateType, aggregateID string, version uint64) Expectation {
	if version == 0 {
		return NoEvents(aggregateType, aggregateID)
	}
	return expect(aggregateType, aggregateID, eventstorev1.Expectation_STATE_VERSION, version)
}

// NoneAfter expects that no event after a position matches a query: nothing that the caller has not read would change its
// decision. Position 0 expects that no event matches at all. A Decider appends with it.
func NoneAfter(position uint64, query Query) Expectation {
	return Expectation{condition: &eventstorev1.Condition{Query: query.message(), AfterPosition: position}}
}

// On returns the expectation for an aggregate of another channel than that of the append. The append must have events for
// that channel.
func (e Expectation) On(channel string) Expectation {
	e.channel = channel
	return e
}

func expect(aggregateType, aggregateID string, state eventstorev1.Expectation_State, version uint64) Expectation {
	return Expectation{expectation: &eventstorev1.Expectation{AggregateType: aggregateType, AggregateId: aggregateID, State: state, Version: version}}
}
