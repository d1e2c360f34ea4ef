package eventstore

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Aggregate is an aggregate of a Repository in a command of ExecuteMany. ExecuteMany sets its fields before each call of
// decide, and again after it stored the new events. An Aggregate belongs to one call at a time.
type Aggregate[S any] struct {
	ID    string
	State S
	// Version, Sequence and Position are those of the last event in State, 0 if there is none.
	Version, Sequence, Position uint64

	repository *Repository[S]
	recorded   time.Time // of the last event in State; zero if this call stored it
}

// Aggregate returns an aggregate for ExecuteMany. It loads nothing yet.
func (r *Repository[S]) Aggregate(id string) *Aggregate[S] {
	return &Aggregate[S]{ID: id, repository: r}
}

// Event returns a new event of the aggregate, for decide to return. data is a value of a registered type, or a NewEvent
// with one in Data that sets more than that, such as Metadata.
func (a *Aggregate[S]) Event(data any) NewEvent {
	event, ok := data.(NewEvent)
	if !ok {
		event.Data = data
	}
	event.Channel, event.AggregateType, event.AggregateID = a.repository.Channel, a.repository.AggregateType, a.ID
	return event
}

// Participant is an aggregate that takes part in a command: *Aggregate of any state.
type Participant interface {
	name() aggregateName
	client() *Client
	registry() *Registry
	validate() error
	load(ctx context.Context) error
	at() (version, position uint64)
	apply(e *Event) error
}

func (a *Aggregate[S]) name() aggregateName {
	return aggregateName{a.repository.Channel, a.repository.AggregateType, a.ID}
}
func (a *Aggregate[S]) client() *Client                { return a.repository.Client }
func (a *Aggregate[S]) registry() *Registry            { return a.repository.Registry }
func (a *Aggregate[S]) validate() error                { return a.repository.Validate() }
func (a *Aggregate[S]) at() (version, position uint64) { return a.Version, a.Position }

// load builds the state from the latest snapshot and the events after it.
func (a *Aggregate[S]) load(ctx context.Context) error {
	r := a.repository
	client, saved := r.Client, a.restore(ctx)
	// With a snapshot, the first event is the last one that the snapshot contains, which shows that it is of this log.
	events, err := client.Load(ctx, r.Channel, r.AggregateType, a.ID, max(saved, 1))
	if err == nil && saved > 0 && !a.isAt(events) && client.standbys != nil { // a standby may not know that event yet
		client = client.leading()
		events, err = client.Load(ctx, r.Channel, r.AggregateType, a.ID, saved)
	}
	if err == nil && saved > 0 && !a.isAt(events) {
		var found *Event
		if len(events) > 0 {
			found = events[0]
		}
		saved = 0
		if events, err = client.Load(ctx, r.Channel, r.AggregateType, a.ID, 1); err == nil {
			a.dropSnapshot(ctx, found, events)
			a.reset()
		}
	}
	if err != nil {
		a.reset()
		return err
	}
	if saved > 0 {
		a.Position, events = events[0].Position, events[1:]
	}
	for _, e := range events {
		if e.Version <= a.Version {
			err := fmt.Errorf("%w: load %v: version %d comes after version %d", ErrGap, a.name(), e.Version, a.Version)
			a.reset()
			return err
		}
		if err := a.apply(e); err != nil {
			a.reset()
			return err
		}
	}
	if r.Snapshots != nil && a.Version-saved >= cmp.Or(r.SnapshotEvery, defaultSnapshotEvery) {
		a.save(ctx)
	}
	return nil
}

// reset forgets the state.
func (a *Aggregate[S]) reset() { *a = Aggregate[S]{ID: a.ID, repository: a.repository} }

// apply makes an event part of the state.
func (a *Aggregate[S]) apply(e *Event) error {
	events, err := a.repository.Registry.Expand(e)
	if err != nil {
		return err
	}
	for _, event := range events {
		a.State = a.repository.Apply(a.State, event)
	}
	a.Version, a.Sequence, a.Position, a.recorded = e.Version, e.Sequence, e.Position, e.RecordedAt
	return nil
}
