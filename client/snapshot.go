package eventstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Snapshot is the state of an aggregate after one of its events. Version, Sequence and RecordedAt are that event's: the
// Repository drops a snapshot whose event the log does not have.
type Snapshot struct {
	Version    uint64    // 0: there is no snapshot
	Sequence   uint64    // in the channel
	RecordedAt time.Time // to the nanosecond
	State      []byte    // as the Codec encoded it
}

// Snapshots stores the state of aggregates. SQLSnapshots implements it.
type Snapshots interface {
	// LoadSnapshot returns the latest snapshot with this key, or one of version 0 if there is none.
	LoadSnapshot(ctx context.Context, key SnapshotKey) (Snapshot, error)
	// SaveSnapshot replaces the snapshot with this key, unless that is of a higher version.
	SaveSnapshot(ctx context.Context, key SnapshotKey, snapshot Snapshot) error
	// DropSnapshot deletes the snapshot with this key if it is of this version and sequence. Otherwise it does nothing.
	DropSnapshot(ctx context.Context, key SnapshotKey, version, sequence uint64) error
}

// SnapshotKey identifies a snapshot.
type SnapshotKey struct{ Channel, AggregateType, AggregateID, Schema string }

const defaultSnapshotEvery = 100

// restore sets the state to that of the snapshot, and returns its version, 0 if it is missing or cannot be loaded or decoded.
func (a *Aggregate[S]) restore(ctx context.Context) uint64 {
	a.reset()
	r := a.repository
	if r.Snapshots == nil {
		return 0
	}
	s, err := r.Snapshots.LoadSnapshot(ctx, a.snapshotKey())
	if err == nil && s.Version > 0 {
		a.State, err = r.decode(s.State)
	}
	if err != nil {
		a.snapshotFailed("load snapshot", err)
		a.reset()
		return 0
	}
	a.Version, a.Sequence, a.recorded = s.Version, s.Sequence, s.RecordedAt
	return s.Version
}

// isAt reports whether the first of the events is the last one in the state, and has not been erased: the state may say what it said.
func (a *Aggregate[S]) isAt(events []*Event) bool {
	if len(events) == 0 {
		return false
	}
	e := events[0]
	return e.Version == a.Version && e.Sequence == a.Sequence && e.RecordedAt.Equal(a.recorded) && e.Erased == 0
}

// dropSnapshot deletes the snapshot in the state. found is the event that the log has in the place of its last one, or after
// that, if there is any, and events are all of the log.
func (a *Aggregate[S]) dropSnapshot(ctx context.Context, found *Event, events []*Event) {
	err := a.repository.Snapshots.DropSnapshot(ctx, a.snapshotKey(), a.Version, a.Sequence)
	if err != nil {
		a.snapshotFailed("drop snapshot", err)
	}
	last := uint64(0)
	if len(events) > 0 {
		last = events[len(events)-1].Version
	}
	switch {
	case found != nil && found.Erased > 0 && found.Version == a.Version:
		err = fmt.Errorf("the event of the snapshot, version %d, was erased: the state is built from the log", a.Version)
	case found == nil:
		err = fmt.Errorf("%w: the snapshot is of version %d, but the log ends at version %d: the state is built from the log", ErrGap, a.Version, last)
	default:
		err = fmt.Errorf("%w: the snapshot is of version %d, sequence %d, recorded at %v, but the log has version %d, sequence %d, recorded at %v: the state is built from the log",
			ErrGap, a.Version, a.Sequence, a.recorded.UTC(), found.Version, found.Sequence, found.RecordedAt)
	}
	a.snapshotFailed("use snapshot", err)
}

// save stores the state, if it is the same after a round trip.
func (a *Aggregate[S]) save(ctx context.Context) {
	encoded, err := a.repository.encode(a.State)
	if err == nil {
		err = a.repository.Snapshots.SaveSnapshot(ctx, a.snapshotKey(), Snapshot{a.Version, a.Sequence, a.recorded, encoded})
	}
	if err != nil {
		a.snapshotFailed("save snapshot", err)
	}
}

func (a *Aggregate[S]) snapshotFailed(what string, err error) {
	if report := a.repository.SnapshotFailed; report != nil {
		report(fmt.Errorf("%s of %v: %w", what, a.name(), err))
	}
}

func (a *Aggregate[S]) snapshotKey() SnapshotKey {
	r := a.repository
	return SnapshotKey{r.Channel, r.AggregateType, a.ID, r.SnapshotSchema}
}

// encode returns an encoded state. The error says what the codec would lose.
func (r *Repository[S]) encode(state S) (encoded []byte, err error) {
	if r.Codec == nil {
		encoded, err = json.Marshal(&state)
	} else {
		encoded, err = r.Codec.Marshal(state)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	again, err := r.decode(encoded)
	if err != nil {
		return nil, err
	}
	if path, same := difference(&state, &again); !same {
		return nil, fmt.Errorf("%w: %T%s is another value after it was encoded and decoded", ErrLossy, state, path)
	}
	return encoded, nil
}

func (r *Repository[S]) decode(encoded []byte) (state S, err error) {
	if r.Codec == nil {
		err = json.Unmarshal(encoded, &state)
	} else {
		err = r.Codec.Unmarshal(encoded, &state)
	}
	if err != nil {
		return state, fmt.Errorf("decode the state: %w", err)
	}
	return state, nil
}
