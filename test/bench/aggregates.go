package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
	"github.com/nats-eventstore/nats-eventstore/test/measure"
)

const (
	aggregatesChannel = "eventstore.bench-aggregates"
	aggregatesName    = "ReadAggregate"
	aggregateNote     = 300 // bytes of each event that its fields do not take
	aggregatesAppend  = 1000
)

// aggregateKinds are of the aggregates of the section. The events of those of a kind are mixed: neighbours on disk belong to others.
var aggregateKinds = []struct{ events, aggregates int }{{10, 2000}, {1000, 20}}

func aggregateOf(events int) string { return measure.Count(events) + " events" }

// aggregatesTrials measure how long the events of one aggregate take through the API.
func aggregatesTrials(s *setup, _ context.Context) ([]trial, error) {
	var all []trial
	for _, id := range s.chosen() {
		if id.name == ours {
			all = append(all, trial{aggregatesName, id, eventBytes, func(ctx context.Context) ([]figure, error) { return s.aggregates(ctx, id.database) }})
		}
	}
	return all, nil
}

// aggregates fills an empty database and reads aggregates, one after the other.
func (s *setup) aggregates(ctx context.Context, database string) (figures []figure, err error) {
	f, err := s.fresh(database, "aggregates")
	if err != nil {
		return nil, err
	}
	err = f.run(ctx, "", func() error {
		api := eventStore(f.api)
		for _, kind := range aggregateKinds {
			if err := appendAggregates(ctx, api, kind.events, kind.aggregates); err != nil {
				return err
			}
		}
		for _, kind := range aggregateKinds {
			var took []time.Duration
			for start := time.Now(); time.Since(start) < 5*s.limit; {
				began := time.Now()
				n, err := readAggregate(ctx, api, aggregatesChannel, aggregateID(kind.events, rand.IntN(kind.aggregates))) //nolint:gosec // any will do
				if err == nil && n != kind.events {
					err = fmt.Errorf("%d of %d events", n, kind.events)
				}
				if err != nil {
					return err
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			figures = append(figures, percentiles(aggregateOf(kind.events), took)...)
		}
		return nil
	})
	return figures, err
}

func aggregateID(events, number int) string { return fmt.Sprintf("aggregate-of-%d-%d", events, number) }

// appendAggregates appends so many events to each of so many aggregates, in turns.
func appendAggregates(ctx context.Context, api eventstorev1connect.EventStoreClient, events, aggregates int) error {
	data := []byte(`{"customer":"C-1001","total":129.90,"currency":"EUR","note":"` + strings.Repeat("x", aggregateNote) + `"}`)
	request := &eventstorev1.AppendRequest{Channel: aggregatesChannel}
	for i := range events * aggregates {
		request.Events = append(request.Events, &eventstorev1.Event{
			EventType: "LineAdded", AggregateType: "Order", AggregateId: aggregateID(events, i%aggregates), EventData: data,
		})
		if len(request.Events) < aggregatesAppend && i+1 < events*aggregates {
			continue
		}
		if _, err := api.Append(ctx, request); err != nil {
			return err
		}
		request.Events = request.Events[:0]
	}
	return nil
}

// readAggregate returns how many events an aggregate has.
func readAggregate(ctx context.Context, api eventstorev1connect.EventStoreClient, channel, id string) (n int, err error) {
	stream, err := api.ReadAggregate(ctx, &eventstorev1.ReadAggregateRequest{
		Channel: channel, AggregateType: "Order", AggregateId: id,
	})
	if err != nil {
		return 0, err
	}
	defer func() { _ = stream.Close() }() // its error is that of Err
	for stream.Receive() {
		n += len(stream.Msg().GetEvents())
	}
	return n, stream.Err()
}
