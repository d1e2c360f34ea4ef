package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Repository loads aggregates of one kind, and executes commands on them. S is what the events of one add up to; its zero
// value is an aggregate without events. It is safe for concurrent use if Apply is.
type Repository[S any] struct {
	Client        *Client
	Channel       string // event channel
	AggregateType string // may be empty
	Registry      *Registry
	// Apply returns the state after one more event. It must not fail, and must do nothing but compute: it is called for
	// each event at each load. If S refers to maps or slices it may change them.
	Apply func(S, *Event) S

	// Snapshots, if not nil, keep the state of aggregates that have many events. A snapshot is a cache: one that is
	// missing, out of reach, or written with another SnapshotSchema, costs time and nothing else.
	Snapshots Snapshots
	// SnapshotFailed, if not nil, is told why a snapshot could not be loaded or saved.
	SnapshotFailed func(error)
	// SnapshotEvery is how many events are folded before the state is saved; 0 means 100.
	SnapshotEvery uint64
	// SnapshotSchema names the form of S. Change it whenever S or Apply changes: older snapshots are not used then.
	SnapshotSchema string
}

// maxConflicts is how often Execute decides again after it lost a race.
const maxConflicts = 100

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
			return state, 0, fmt.Errorf("load aggregate %q of channel %q: version %d follows on %d", id, r.Channel, e.Version, version)
		}
		if err := r.Registry.Decode(e); err != nil {
			return state, 0, err
		}
		state, version = r.Apply(state, e), e.Version
	}
	if r.Snapshots != nil && version-saved >= cmp.Or(r.SnapshotEvery, defaultSnapshotEvery) {
		r.save(ctx, id, version, state)
	}
	return state, version, nil
}

// ExecuteOption changes what Execute does.
type ExecuteOption func(*execution)

type execution struct {
	command  string
	metadata map[string]string
}

// Command makes a command idempotent: however often Execute is called with its ID, on any aggregate of the channel, at the
// same time or later, the events of one decision are stored once, and other calls store nothing. Their IDs are made of it,
// id/1, id/2, ….
func Command(id string) ExecuteOption { return func(e *execution) { e.command = id } }

// Metadata is stored with each event.
func Metadata(metadata map[string]string) ExecuteOption {
	return func(e *execution) { e.metadata = metadata }
}

// Execute loads an aggregate, has decide look at it, and appends the events that decide returns, values of registered types,
// if nobody else was faster; else it starts over, after a pause. decide may be called several times, and must do nothing
// but decide. If it returns no events nothing is stored. Execute returns the state after the events.
//
// The errors are decide's, as it is, those of Append, and *ConflictError, or ErrDuplicate of a Command, if it lost the race
// 100 times.
func (r *Repository[S]) Execute(ctx context.Context, id string, decide func(state S, version uint64) ([]any, error), options ...ExecuteOption) (S, error) {
	var e execution
	for _, option := range options {
		option(&e)
	}
	var pause backoff
	for attempt := 1; ; attempt++ {
		state, err := r.attempt(ctx, id, decide, &e)
		var conflict *ConflictError
		lost := errors.As(err, &conflict) || e.command != "" && errors.Is(err, ErrDuplicate) // to another call of the command
		if !lost || attempt == maxConflicts {
			return state, err
		}
		if ended := pause.wait(ctx); ended != nil {
			return state, fmt.Errorf("execute on aggregate %q of channel %q: %w, last error: %w", id, r.Channel, ended, err)
		}
	}
}

func (r *Repository[S]) attempt(ctx context.Context, id string, decide func(S, uint64) ([]any, error), e *execution) (S, error) {
	executed := false
	if e.command != "" {
		_, err := r.Client.Get(ctx, r.Channel, eventID(e.command, 1))
		if executed = err == nil; err != nil && !errors.Is(err, ErrNotFound) {
			var none S
			return none, err
		}
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
		events[i].Metadata = e.metadata
		if e.command != "" {
			events[i].ID = eventID(e.command, i+1)
		}
	}
	positions, err := r.Client.Append(ctx, r.Channel, events, AtVersion(r.AggregateType, id, version))
	if err != nil {
		return state, err
	}
	for i, event := range events {
		stored := decoded(event.message())
		stored.Channel, stored.Sequence, stored.Version = r.Channel, positions[i].Sequence, positions[i].Version
		if err := r.Registry.Decode(stored); err != nil {
			return state, err
		}
		state = r.Apply(state, stored)
	}
	return state, nil
}

func eventID(command string, n int) string { return command + "/" + strconv.Itoa(n) }
