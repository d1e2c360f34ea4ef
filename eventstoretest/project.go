package eventstoretest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	eventstore "github.com/nats-eventstore/nats-eventstore/client"
	mapping "github.com/nats-eventstore/nats-eventstore/proto"
)

// Project runs a projector until it has applied everything, and returns. Any error fails the test.
//
// Given events, the projector reads them instead of its Source, so that no server is needed. Each has Data, a value of a type that the
// projector's Registry knows, and the aggregate that it belongs to. They get the sequences, positions and, for each aggregate, the versions
// 1, 2, …. Call Project once with all events: the next call would begin with sequence 1 again, which the checkpoint is past.
//
// Without events, the projector reads what its Source has stored until now, for instance that of Server.Client.
func Project(t testing.TB, p *eventstore.Projector, events ...eventstore.NewEvent) {
	t.Helper()
	if err := project(t.Context(), *p, events); err != nil {
		t.Errorf("eventstoretest: %v", err)
	}
}

func project(ctx context.Context, p eventstore.Projector, events []eventstore.NewEvent) error {
	if len(events) > 0 {
		stored, err := store(p.Registry, events)
		if err != nil {
			return err
		}
		p.Source = given{stored}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("projection %q did not catch up within %v", p.Name, patience))
	defer cancel()
	ctx, done := context.WithCancelCause(ctx)
	caughtUp := p.CaughtUp
	p.CaughtUp = func() {
		if caughtUp != nil {
			caughtUp()
		}
		done(errDone)
	}
	if err := p.Run(ctx); !errors.Is(err, errDone) {
		return err
	}
	return nil
}

// errDone ends a projector that has caught up.
var errDone = errors.New("caught up")

// store returns events as they are read from the log.
func store(registry *eventstore.Registry, events []eventstore.NewEvent) ([]*eventstore.Event, error) {
	versions := make(map[[2]string]uint64)
	var all []*eventstore.Event
	for i, event := range events {
		if event.Data != nil {
			if registry == nil {
				return nil, fmt.Errorf("event %d has Data, but the projector has no Registry to encode it", i+1)
			}
			encoded, err := registry.New(event.AggregateType, event.AggregateID, event.Data)
			if err != nil {
				return nil, fmt.Errorf("event %d: %w", i+1, err)
			}
			event.Type, event.Payload, event.ContentType = encoded.Type, encoded.Payload, encoded.ContentType
			event.Tags = mapping.Tags(slices.Concat(event.Tags, encoded.Tags)) // each once, as the server has them
			metadata := make(map[string]string)
			maps.Copy(metadata, event.Metadata)
			delete(metadata, eventstore.MetadataSchemaVersion) // that of the data counts
			maps.Copy(metadata, encoded.Metadata)
			event.Metadata = metadata
		}
		of := [2]string{event.AggregateType, event.AggregateID}
		versions[of]++
		at := uint64(i + 1)
		all = append(all, &eventstore.Event{
			ID: event.ID, Type: event.Type, AggregateType: event.AggregateType, AggregateID: event.AggregateID, Version: versions[of],
			Payload: event.Payload, ContentType: event.ContentType, Metadata: event.Metadata, Tags: event.Tags, OccurredAt: event.OccurredAt,
			Channel: event.Channel, Sequence: at, Position: at,
		})
	}
	return all, nil
}

// given is a source of events that are given.
type given struct{ events []*eventstore.Event }

var _ eventstore.Source = given{}

// Receive implements eventstore.Source.
func (g given) Receive(ctx context.Context, after uint64, handle func(eventstore.Batch) error) error {
	last := uint64(len(g.events))
	batch := eventstore.Batch{Events: g.events[min(after, last):], Checkpoint: last, CaughtUp: true}
	if err := handle(batch); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
