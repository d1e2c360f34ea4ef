package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
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

// maxConflicts is how often Execute tries before it returns a conflict.
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
			return state, 0, fmt.Errorf("load aggregate %q of channel %q: version %d comes after version %d", id, r.Channel, e.Version, version)
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

// ExecuteOption configures one call of Execute.
type ExecuteOption func(*execution)

type execution struct {
	command  string
	metadata map[string]string
}

// Command makes a command idempotent. However often Execute is called with this ID, on any aggregate of the channel, at the
// same time or later, one call stores its events and the others store nothing. The event IDs are id/1, id/2, ….
func Command(id string) ExecuteOption { return func(e *execution) { e.command = id } }

// Metadata sets the metadata of each event.
func Metadata(metadata map[string]string) ExecuteOption {
	return func(e *execution) { e.metadata = metadata }
}

// Execute loads an aggregate, passes its state to decide, and appends the events that decide returns: values of registered
// types. If the aggregate changed meanwhile, Execute pauses and starts over. So decide may be called several times and must
// not have side effects. If it returns no events, nothing is stored. Execute returns the state after the new events.
//
// Execute returns errors of decide unwrapped, errors of Append, and after 100 conflicts *ConflictError, or ErrDuplicate for
// a Command.
func (r *Repository[S]) Execute(ctx context.Context, id string, decide func(state S, version uint64) ([]any, error), options ...ExecuteOption) (S, error) {
	var e execution
	for _, option := range options {
		option(&e)
	}
	var pause backoff
	for attempt := 1; ; attempt++ {
		state, err := r.attempt(ctx, id, decide, &e)
		var conflict *ConflictError
		// ErrDuplicate: another call with this command ID was faster.
		retry := errors.As(err, &conflict) || e.command != "" && errors.Is(err, ErrDuplicate)
		if !retry || attempt == maxConflicts {
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
			var zero S
			return zero, err
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
		stored := fromMessage(event.message())
		stored.Channel, stored.Sequence, stored.Version = r.Channel, positions[i].Sequence, positions[i].Version
		if err := r.Registry.Decode(stored); err != nil {
			return state, err
		}
		state = r.Apply(state, stored)
	}
	return state, nil
}

func eventID(command string, n int) string { return command + "/" + strconv.Itoa(n) }
