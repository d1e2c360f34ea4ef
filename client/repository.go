package eventstore

import (
	"context"
	"errors"
)

// Repository loads aggregates of one type and executes commands on them. S is the state of an aggregate; its zero value is
// the state before the first event. A Repository is safe for concurrent use if Apply is. It may be copied.
type Repository[S any] struct {
	Client        *Client
	Channel       string // event channel
	AggregateType string // may be empty
	Registry      *Registry
	// Apply returns the state after one more event. It must not have side effects: every load calls it for each event. It
	// may modify maps and slices in S. RecordedAt is zero in an event that the same call has stored: use OccurredAt.
	Apply func(S, *Event) S

	// Snapshots, if not nil, stores the state of aggregates that have many events. Snapshots are a cache: if one is
	// missing, unavailable, has another SnapshotSchema or does not agree with the log, loading only takes longer.
	Snapshots Snapshots
	// SnapshotFailed, if not nil, is called with errors of loading and saving snapshots. ErrGap means that a snapshot was
	// dropped because the log does not have its last event: the log was restored from a backup, or events were erased.
	SnapshotFailed func(error)
	// SnapshotEvery is the number of versions after which the state is saved; 0 means 100.
	SnapshotEvery uint64
	// SnapshotSchema is the name and version of S. Change it whenever S, Apply or Codec changes, so that older snapshots are ignored. Two
	// repositories that make different states of the same aggregates need different ones.
	SnapshotSchema string
	// Codec encodes states for Snapshots. nil means encoding/json. Then S must be a type of which JSON loses nothing:
	// Validate says whether it is.
	Codec Codec
}

// Validate returns an error if a field is missing that must be set, or if snapshots by JSON would lose a part of S. Load
// and Execute return it, too, before they do anything. Call it to know at the start of the program.
func (r *Repository[S]) Validate() error {
	switch {
	case r.Client == nil:
		return errors.New("eventstore: Repository.Client is nil: set it to what New returned")
	case r.Channel == "":
		return errors.New("eventstore: Repository.Channel is empty: name the event channel of the aggregates")
	case r.Registry == nil:
		return errors.New("eventstore: Repository.Registry is nil: set it to a Registry with the types of events")
	case r.Apply == nil:
		return errors.New("eventstore: Repository.Apply is nil: set it to the function that adds an event to the state")
	case r.Snapshots != nil && r.Codec == nil:
		return checkJSON[S]()
	}
	return nil
}

// Load returns the state of an aggregate and its version, 0 if it has no events.
func (r *Repository[S]) Load(ctx context.Context, id string) (state S, version uint64, err error) {
	if err := r.Validate(); err != nil {
		return state, 0, err
	}
	a := r.Aggregate(id)
	err = a.load(ctx)
	return a.State, a.Version, err
}

// Execute loads an aggregate, passes its state to decide, and appends the events that decide returns: values of registered
// types, or NewEvents with one in Data. If another process changed the aggregate meanwhile, Execute pauses and starts over. So
// decide may be called several times and must not have side effects, nor execute a command on the same aggregate. If it returns no
// events, nothing is stored.
//
// Commands of one Client on one aggregate take turns, first come, first served.
//
// Execute returns errors of decide unwrapped, errors of Append, those of an Expect at once, ErrDuplicate for a Command whose ID
// belongs to another command, and after 200 conflicts *ConflictError.
func (r *Repository[S]) Execute(ctx context.Context, id string, decide func(state S, version uint64) ([]any, error), options ...ExecuteOption) (Result[S], error) {
	a := r.Aggregate(id)
	outcome, err := ExecuteMany(ctx, []Participant{a}, func() ([]NewEvent, error) {
		decided, err := decide(a.State, a.Version)
		events := make([]NewEvent, len(decided))
		for i, data := range decided {
			events[i] = a.Event(data)
		}
		return events, err
	}, options...)
	return Result[S]{a.State, a.Version, a.Sequence, outcome}, err
}
