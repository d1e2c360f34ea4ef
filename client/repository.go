package eventstore

import (
	"cmp"
	"context"
	"fmt"
)

// Repository loads aggregates of one type and executes commands on them. S is the state of an aggregate; its zero value is
// the state before the first event. A Repository is safe for concurrent use if Apply is.
type Repository[S any] struct {
	Client        *Client
	Channel       string // event channel
	AggregateType string // may be empty
	Registry      *Registry
	// Apply returns the state after one more event. It must not have side effects: every load calls it for each event. It
	// may modify maps and slices in S.
	Apply func(S, *Event) S

	// Snapshots, if not nil, stores the state of aggregates that have many events. Snapshots are a cache: if one is
	// missing, unavailable or has another SnapshotSchema, loading only takes longer.
	Snapshots Snapshots
	// SnapshotFailed, if not nil, is called with errors of loading and saving snapshots.
	SnapshotFailed func(error)
	// SnapshotEvery is the number of events after which the state is saved; 0 means 100.
	SnapshotEvery uint64
	// SnapshotSchema is the version of S. Change it whenever S or Apply changes, so that older snapshots are ignored.
	SnapshotSchema string
}

// Load returns the state of an aggregate and its version, 0 if it has no events.
func (r *Repository[S]) Load(ctx context.Context, id string) (state S, version uint64, err error) {
	version, state = r.restore(ctx, id)
	saved := version
	events, err := r.Client.Load(ctx, r.Channel, r.AggregateType, id, version+1)
	if err != nil {
		return state, 0, err
	}
	for _, e := range events {
		if e.Version <= version {
			return state, 0, fmt.Errorf("load aggregate %q of channel %q: version %d comes after version %d", id, r.Channel, e.Version, version)
		}
		if state, err = r.apply(state, e); err != nil {
			return state, 0, err
		}
		version = e.Version
	}
	if r.Snapshots != nil && version-saved >= cmp.Or(r.SnapshotEvery, defaultSnapshotEvery) {
		r.save(ctx, id, version, state)
	}
	return state, version, nil
}

// Execute loads an aggregate, passes its state to decide, and appends the events that decide returns: values of registered
// types. If the aggregate changed meanwhile, Execute pauses and starts over. So decide may be called several times and must
// not have side effects. If it returns no events, nothing is stored. Execute returns the state after the new events.
//
// Execute returns errors of decide unwrapped, errors of Append, and after 100 conflicts *ConflictError or, from an Expect,
// *ConditionError, or ErrDuplicate for a Command.
func (r *Repository[S]) Execute(ctx context.Context, id string, decide func(state S, version uint64) ([]any, error), options ...ExecuteOption) (S, error) {
	e := newExecution(options)
	var state S
	err := e.retry(ctx, fmt.Sprintf("execute on aggregate %q of channel %q", id, r.Channel), func() (err error) {
		state, err = r.attempt(ctx, id, decide, e)
		return err
	})
	return state, err
}

func (r *Repository[S]) attempt(ctx context.Context, id string, decide func(S, uint64) ([]any, error), e *execution) (S, error) {
	executed, err := r.Client.executed(ctx, r.Channel, e)
	if err != nil {
		var zero S
		return zero, err
	}
	state, version, err := r.Load(ctx, id)
	if err != nil || executed {
		return state, err
	}
	decided, err := decide(state, version)
	if err != nil || len(decided) == 0 {
		return state, err
	}
	events := make([]NewEvent, len(decided))
	for i, data := range decided {
		if events[i], err = r.Registry.New(r.AggregateType, id, data); err != nil {
			return state, err
		}
		e.complete(&events[i], i)
	}
	positions, err := r.Client.Append(ctx, r.Channel, events, append(e.expect, AtVersion(r.AggregateType, id, version))...)
	if err != nil {
		return state, err
	}
	e.stored(positions)
	for i, event := range events {
		stored := fromMessage(event.message())
		stored.Channel, stored.Sequence, stored.Version, stored.Position = r.Channel, positions[i].Sequence, positions[i].Version, positions[i].Position
		if state, err = r.apply(state, stored); err != nil {
			return state, err
		}
	}
	return state, nil
}

// apply returns the state after the events that one stands for.
func (r *Repository[S]) apply(state S, e *Event) (S, error) {
	events, err := r.Registry.Expand(e)
	for _, event := range events {
		state = r.Apply(state, event)
	}
	return state, err
}
