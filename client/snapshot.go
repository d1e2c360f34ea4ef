package eventstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// Snapshots keep the state of aggregates. SQLSnapshots are some.
type Snapshots interface {
	// LoadSnapshot returns the latest snapshot of an aggregate in a schema; version 0 if there is none.
	LoadSnapshot(ctx context.Context, key SnapshotKey) (version uint64, state []byte, err error)
	// SaveSnapshot replaces the snapshot.
	SaveSnapshot(ctx context.Context, key SnapshotKey, version uint64, state []byte) error
}

// SnapshotKey names a snapshot.
type SnapshotKey struct{ Channel, AggregateType, AggregateID, Schema string }

const defaultSnapshotEvery = 100

// restore returns the snapshot of an aggregate. One that cannot be decoded is none.
func (r *Repository[S]) restore(ctx context.Context, id string) (uint64, S, error) {
	var state, none S
	if r.Snapshots == nil {
		return 0, none, nil
	}
	version, encoded, err := r.Snapshots.LoadSnapshot(ctx, r.snapshotKey(id))
	if err != nil {
		return 0, none, fmt.Errorf("load the snapshot of aggregate %q of channel %q: %w", id, r.Channel, err)
	}
	if version == 0 || json.Unmarshal(encoded, &state) != nil {
		return 0, none, nil
	}
	return version, state, nil
}

func (r *Repository[S]) save(ctx context.Context, id string, version uint64, state S) error {
	encoded, err := json.Marshal(state)
	if err == nil {
		err = r.Snapshots.SaveSnapshot(ctx, r.snapshotKey(id), version, encoded)
	}
	if err != nil {
		return fmt.Errorf("save a snapshot of aggregate %q of channel %q: %w", id, r.Channel, err)
	}
	return nil
}

func (r *Repository[S]) snapshotKey(id string) SnapshotKey {
	return SnapshotKey{r.Channel, r.AggregateType, id, r.SnapshotSchema}
}

// SQLSnapshots keep snapshots in a table of a SQL database, which CreateTable makes.
type SQLSnapshots struct {
	DB      *sql.DB
	Dialect Dialect
}

var _ Snapshots = (*SQLSnapshots)(nil)

// CreateTable makes the table eventstore_snapshots if there is none.
func (s *SQLSnapshots) CreateTable(ctx context.Context) error {
	if err := create(ctx, s.DB, s.Dialect.texts().createSnapshots); err != nil {
		return fmt.Errorf("create the table of snapshots: %w", err)
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
