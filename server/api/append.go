package api

import (
	"context"
	"fmt"
	"math"
	"slices"

	googleproto "google.golang.org/protobuf/proto"

	"github.com/nats-eventstore/nats-eventstore/proto"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/access"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// maxEvents bounds the events of a request, and its expectations.
const maxEvents = 1000

// Append implements eventstore.v1.EventStore.
func (s *service) Append(ctx context.Context, req *eventstorev1.AppendRequest) (*eventstorev1.AppendResponse, error) {
	parts, err := partsOf(req)
	if err != nil {
		return nil, err
	}
	as := &stores.Group{}
	if as.Conditions, err = conditions(req.GetConditions()); err != nil {
		return nil, status(err)
	}
	var events []Encoded
	for _, part := range parts {
		if err := part.encode(&events); err != nil {
			return nil, err
		}
	}
	req.Events, req.Expectations, req.Conditions, req.More = nil, nil, nil, nil // only what is encoded waits for the commit
	settle(ctx, memoryOf(events, parts, as.Conditions))
	log, err := s.leading(ctx)
	if err != nil {
		return nil, status(err)
	}
	for i, at := 0, 0; i < len(parts); i++ {
		part := parts[i]
		ch, err := log.open(ctx, part.channel, access.Append)
		if err != nil {
			return nil, status(err)
		}
		if part.contradiction != nil && ch.Strict() {
			return nil, part.contradiction
		}
		for j := range part.expect {
			part.expect[j].Channel = ch.Stored()
		}
		as.Expect = append(as.Expect, part.expect...)
		for range part.count {
			events[at].To = ch
			at++
		}
	}
	results, err := log.append(ctx, events, as)
	if err != nil {
		return nil, appendStatus(parts[0].channel, err)
	}
	resp := &eventstorev1.AppendResponse{Duplicate: results[0].Duplicate}
	for _, r := range results {
		resp.Events = append(resp.Events, &eventstorev1.AppendedEvent{Sequence: r.Sequence, EventVersion: r.Version, Position: r.Position})
	}
	return resp, nil
}

// part is what a request appends to one channel.
type part struct {
	channel string
	events  []*eventstorev1.Event // until they are encoded
	count   int
	expect  []stores.Expectation
	// contradiction says why a strict channel can never take the events.
	contradiction error
}

// partsOf validates the parts of a request.
func partsOf(req *eventstorev1.AppendRequest) ([]*part, error) {
	all := req.GetMore()
	if len(all) == 0 || req.GetChannel() != "" || len(req.GetEvents())+len(req.GetExpectations()) > 0 {
		first := &eventstorev1.ChannelEvents{Channel: req.GetChannel(), Events: req.GetEvents(), Expectations: req.GetExpectations()}
		all = append([]*eventstorev1.ChannelEvents{first}, all...)
	}
	var parts []*part
	events, expected := 0, 0
	for _, p := range all {
		expect, err := expectations(p.GetExpectations())
		if err != nil {
			return nil, err
		}
		if len(all) > 1 && len(p.GetEvents()) == 0 {
			return nil, invalid("channel %q has no events in this request: leave it out, or use a condition", p.GetChannel())
		}
		if slices.ContainsFunc(parts, func(other *part) bool { return other.channel == p.GetChannel() }) {
			return nil, invalid("channel %q appears twice: put its events together", p.GetChannel())
		}
		if err := checkIDs(p.GetEvents()); err != nil {
			return nil, err
		}
		events += len(p.GetEvents())
		expected += len(p.GetExpectations())
		parts = append(parts, &part{p.GetChannel(), p.GetEvents(), len(p.GetEvents()), expect, checkVersions(p)})
	}
	switch {
	case events == 0 || events > maxEvents:
		return nil, invalid("%d events: a request has 1 to %d", events, maxEvents)
	case expected > maxEvents:
		return nil, invalid("%d expectations: a request has at most %d", expected, maxEvents)
	}
	return parts, nil
}

// encode appends the events, encoded.
func (p *part) encode(to *[]Encoded) error {
	events, err := encode(p.events...)
	p.events = nil
	*to = append(*to, events...)
	return err
}

// conditions returns the conditions that the store checks.
func conditions(all []*eventstorev1.Condition) ([]stores.Condition, error) {
	if len(all) > stores.MaxQueryItems {
		return nil, invalid("%d conditions: a request has at most %d", len(all), stores.MaxQueryItems)
	}
	var checked []stores.Condition
	values := 0
	for i, c := range all {
		if c.GetQuery() == nil {
			return nil, invalid("condition %d has no query: an empty one, {}, stands for every event", i+1)
		}
		query := queryOf(c.GetQuery())
		if err := query.Validate(); err != nil {
			return nil, fmt.Errorf("condition %d: %w", i+1, err)
		}
		if values += query.Values(); values > stores.MaxQueryValues {
			return nil, invalid("the queries of the conditions have more than %d values", stores.MaxQueryValues)
		}
		checked = append(checked, stores.Condition{Query: query, After: c.GetAfterPosition()})
	}
	return checked, nil
}

// encode validates and encodes events. Its error carries a code.
func encode(events ...*eventstorev1.Event) ([]Encoded, error) {
	encoded := make([]Encoded, len(events))
	for i, ev := range events {
		payload, err := (googleproto.MarshalOptions{Deterministic: true}).Marshal(ev)
		if err != nil {
			return nil, invalid("event %d: %w", i+1, err)
		}
		encoded[i].Payload = payload
		if encoded[i].Event, err = proto.ExtractNew(payload); err != nil {
			if len(events) > 1 {
				err = fmt.Errorf("event %d: %w", i+1, err)
			}
			return nil, status(err)
		}
	}
	return encoded, nil
}

// memoryOf estimates the memory of events that wait for their commit.
func memoryOf(events []Encoded, parts []*part, conditions []stores.Condition) int {
	bytes := eventBytes * len(events)
	for _, p := range parts {
		bytes += eventBytes * len(p.expect)
	}
	for i := range conditions {
		bytes += eventBytes * (1 + conditions[i].Query.Values())
	}
	for i := range events {
		bytes += len(events[i].Payload) + events[i].Event.Extra()
	}
	return bytes
}

// aggregateKey names an aggregate of a request.
type aggregateKey struct{ typ, id string }

// expectations returns the expectations that the store checks.
func expectations(all []*eventstorev1.Expectation) ([]stores.Expectation, error) {
	seen := make(map[aggregateKey]bool, len(all))
	var expect []stores.Expectation
	for _, e := range all {
		key := aggregateKey{e.GetAggregateType(), e.GetAggregateId()}
		switch {
		case key.id == "":
			return nil, invalid("an expectation has no aggregate_id")
		case seen[key]:
			return nil, invalid("aggregate %q has several expectations", key.id)
		case e.GetState() == eventstorev1.Expectation_STATE_VERSION && (e.GetVersion() == 0 || e.GetVersion() > math.MaxInt64):
			return nil, invalid("expected version %d of aggregate %q is not a version", e.GetVersion(), key.id)
		case e.GetState() != eventstorev1.Expectation_STATE_VERSION && e.GetVersion() != 0:
			return nil, invalid("the expectation of aggregate %q has a version but not STATE_VERSION", key.id)
		}
		seen[key] = true
		expected := stores.Expectation{AggregateType: key.typ, AggregateID: key.id, Version: e.GetVersion()}
		switch e.GetState() {
		case eventstorev1.Expectation_STATE_UNSPECIFIED, eventstorev1.Expectation_STATE_ANY:
			continue
		case eventstorev1.Expectation_STATE_NONE:
			expected.State = stores.ExpectNone
		case eventstorev1.Expectation_STATE_EXISTS:
			expected.State = stores.ExpectExists
		case eventstorev1.Expectation_STATE_VERSION:
			expected.State = stores.ExpectVersion
		default:
			return nil, invalid("the expectation of aggregate %q has unknown state %d", key.id, e.GetState())
		}
		expect = append(expect, expected)
	}
	return expect, nil
}

// checkIDs refuses a request that contains an event_id twice.
func checkIDs(events []*eventstorev1.Event) error {
	seen := make(map[string]bool, len(events))
	for i, ev := range events {
		if ev == nil {
			return invalid("event %d is missing", i+1)
		}
		id := ev.GetEventId()
		if id != "" && seen[id] {
			return invalid("event_id %q appears twice", id)
		}
		seen[id] = true
	}
	return nil
}

// nextVersion is what a request implies about the next version of an aggregate.
type nextVersion struct {
	least uint64
	exact bool // the next version equals least
}

// checkVersions refuses a request that can never succeed: its versions contradict each other or the expectation of
// their aggregate.
func checkVersions(req *eventstorev1.ChannelEvents) error {
	next := make(map[aggregateKey]nextVersion)
	for _, e := range req.GetExpectations() {
		key := aggregateKey{e.GetAggregateType(), e.GetAggregateId()}
		switch e.GetState() {
		case eventstorev1.Expectation_STATE_NONE, eventstorev1.Expectation_STATE_VERSION:
			next[key] = nextVersion{e.GetVersion() + 1, true}
		case eventstorev1.Expectation_STATE_EXISTS:
			next[key] = nextVersion{2, false}
		}
	}
	for _, ev := range req.GetEvents() {
		key := aggregateKey{ev.GetAggregateType(), ev.GetAggregateId()}
		n, ok := next[key]
		if !ok {
			n.least = 1
		}
		if given := ev.GetEventVersion(); given != 0 {
			switch {
			case n.exact && given != n.least:
				return invalid("mixed expectations: aggregate %q: event_version is %d, but the request expects %d", key.id, given, n.least)
			case given < n.least:
				return invalid("mixed expectations: aggregate %q: event_version is %d, but the request expects at least %d", key.id, given, n.least)
			}
			n = nextVersion{given, true}
		}
		n.least++
		next[key] = n
	}
	return nil
}
