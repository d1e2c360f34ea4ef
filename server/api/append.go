package api

import (
	"context"
	"fmt"
	"math"

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
	switch n := len(req.GetEvents()); {
	case n == 0 || n > maxEvents:
		return nil, invalid("%d events: a request has 1 to %d", n, maxEvents)
	case len(req.GetExpectations()) > maxEvents:
		return nil, invalid("%d expectations: a request has at most %d", len(req.GetExpectations()), maxEvents)
	}
	expect, err := expectations(req.GetExpectations())
	if err != nil {
		return nil, err
	}
	if err := checkIDs(req.GetEvents()); err != nil {
		return nil, err
	}
	events, err := encode(req.GetEvents()...)
	if err != nil {
		return nil, err
	}
	contradiction := checkVersions(req)
	req.Events, req.Expectations = nil, nil // only what is encoded waits for the commit
	settle(ctx, memoryOf(events, expect))
	log, err := s.active(ctx)
	if err != nil {
		return nil, status(err)
	}
	ch, err := log.open(ctx, req.GetChannel(), access.Append)
	if err != nil {
		return nil, status(err)
	}
	if contradiction != nil && ch.Strict() {
		return nil, contradiction
	}
	results, err := log.append(ctx, ch, events, expect)
	if err != nil {
		return nil, appendStatus(req.GetChannel(), err)
	}
	resp := &eventstorev1.AppendResponse{Duplicate: results[0].Duplicate}
	for _, r := range results {
		resp.Events = append(resp.Events, &eventstorev1.AppendedEvent{Sequence: r.Sequence, EventVersion: r.Version})
	}
	return resp, nil
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
func memoryOf(events []Encoded, expect []stores.Expectation) int {
	bytes := eventBytes * (len(events) + len(expect))
	for i := range events {
		bytes += len(events[i].Payload) + len(events[i].Event.Metadata)
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
func checkVersions(req *eventstorev1.AppendRequest) error {
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
