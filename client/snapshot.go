package eventstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// Snapshots stores the state of aggregates. SQLSnapshots implements it.
type Snapshots interface {
	// LoadSnapshot returns the latest snapshot with this key, or version 0 if there is none.
	LoadSnapshot(ctx context.Context, key SnapshotKey) (version uint64, state []byte, err error)
	// SaveSnapshot replaces the snapshot with this key.
	SaveSnapshot(ctx context.Context, key SnapshotKey, version uint64, state []byte) error
}

// SnapshotKey identifies a snapshot.
type SnapshotKey struct{ Channel, AggregateType, AggregateID, Schema string }

const defaultSnapshotEvery = 100

// restore returns the snapshot of an aggregate, or version 0 if it is missing or cannot be loaded or decoded.
func (r *Repository[S]) restore(ctx context.Context, id string) (uint64, S) {
	var state, zero S
	if r.Snapshots == nil {
		return 0, zero
	}
	version, encoded, err := r.Snapshots.LoadSnapshot(ctx, r.snapshotKey(id))
	if err == nil && version > 0 {
		err = json.Unmarshal(encoded, &state)
	}
	if err != nil {
		r.snapshotFailed("load snapshot", id, err)
		return 0, zero
	}
	return version, state
}

func (r *Repository[S]) save(ctx context.Context, id string, version uint64, state S) {
	encoded, err := json.Marshal(state)
	if err == nil {
		err = r.Snapshots.SaveSnapshot(ctx, r.snapshotKey(id), version, encoded)
	}
	if err != nil {
		r.snapshotFailed("save snapshot", id, err)
	}
}

func (r *Repository[S]) snapshotFailed(what, id string, err error) {
	if r.SnapshotFailed != nil {
		r.SnapshotFailed(fmt.Errorf("%s of aggregate %q of channel %q: %w", what, id, r.Channel, err))
	}
}

func (r *Repository[S]) snapshotKey(id string) SnapshotKey {
	return SnapshotKey{r.Channel, r.AggregateType, id, r.SnapshotSchema}
}

// SQLSnapshots stores snapshots in a table of a SQL database. CreateTable creates the table.
type SQLSnapshots struct {
	DB      *sql.DB
	Dialect Dialect
}

var _ Snapshots = (*SQLSnapshots)(nil)

// CreateTable creates the table eventstore_snapshots unless it exists.
func (s *SQLSnapshots) CreateTable(ctx context.Context) error {
	if err := createTable(ctx, s.DB, s.Dialect.texts().createSnapshots); err != nil {
		return fmt.Errorf("create table eventstore_snapshots: %w", err)
	}
	return nil
}

// LoadSnapshot implements Snapshots.
func (s *SQLSnapshots) LoadSnapshot(ctx context.Context, key SnapshotKey) (version uint64, state []byte, err error) {
	err = s.DB.QueryRowContext(ctx, s.Dialect.texts().snapshot, key.Channel, key.AggregateType, key.AggregateID, key.Schema).Scan(&version, &state)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	return version, state, err
}

// SaveSnapshot implements Snapshots.
func (s *SQLSnapshots) SaveSnapshot(ctx context.Context, key SnapshotKey, version uint64, state []byte) error {
	_, err := s.DB.ExecContext(ctx, s.Dialect.texts().putSnapshot, key.Channel, key.AggregateType, key.AggregateID, key.Schema, version, state)
	return err
}
