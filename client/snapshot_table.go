package eventstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// SQLSnapshots stores snapshots in a table of a SQL database. CreateTable creates the table.
type SQLSnapshots struct {
	DB      *sql.DB
	Dialect Dialect
}

var _ Snapshots = (*SQLSnapshots)(nil)

// CreateTable creates the table eventstore_snapshots unless it exists, and adds the columns that earlier builds did not have. Their
// snapshots are ignored, and replaced in time.
func (s *SQLSnapshots) CreateTable(ctx context.Context) error {
	texts := s.texts()
	if err := createTable(ctx, s.DB, texts.create, texts.added...); err != nil {
		return fmt.Errorf("create table eventstore_snapshots: %w", err)
	}
	return nil
}

// LoadSnapshot implements Snapshots.
func (s *SQLSnapshots) LoadSnapshot(ctx context.Context, key SnapshotKey) (Snapshot, error) {
	var found Snapshot
	var recorded int64
	err := s.DB.QueryRowContext(ctx, s.texts().load, key.Channel, key.AggregateType, key.AggregateID, key.Schema).Scan(&found.Version, &found.Sequence, &recorded, &found.State)
	if errors.Is(err, sql.ErrNoRows) {
		return Snapshot{}, nil
	}
	found.RecordedAt = time.Unix(0, recorded).UTC()
	return found, err
}

// SaveSnapshot implements Snapshots.
func (s *SQLSnapshots) SaveSnapshot(ctx context.Context, key SnapshotKey, snapshot Snapshot) error {
	_, err := s.DB.ExecContext(ctx, s.texts().save, key.Channel, key.AggregateType, key.AggregateID, key.Schema,
		snapshot.Version, snapshot.Sequence, snapshot.RecordedAt.UnixNano(), snapshot.State)
	return err
}

// DropSnapshot implements Snapshots.
func (s *SQLSnapshots) DropSnapshot(ctx context.Context, key SnapshotKey, version, sequence uint64) error {
	_, err := s.DB.ExecContext(ctx, s.texts().drop, key.Channel, key.AggregateType, key.AggregateID, key.Schema, version, sequence)
	return err
}

// snapshotTexts are the statements of a dialect: (parameters) → result. A sequence of 0 is that of an earlier build.
type snapshotTexts struct {
	create string
	added  []addedColumn
	load   string // (channel, type, id, schema) → version, sequence, time, state
	save   string // (channel, type, id, schema, version, sequence, time, state)
	drop   string // (channel, type, id, schema, version, sequence)
}

func (s *SQLSnapshots) texts() *snapshotTexts {
	switch s.Dialect {
	case PostgreSQL:
		return &postgresSnapshots
	case MySQL:
		return &mysqlSnapshots
	case SQLite:
		return &sqliteSnapshots
	}
	panic("eventstore: Dialect is not set")
}

var postgresSnapshots = snapshotTexts{
	create: "CREATE TABLE IF NOT EXISTS eventstore_snapshots (channel VARCHAR(255), aggregate_type VARCHAR(255), aggregate_id VARCHAR(255), schema_name VARCHAR(255), version BIGINT NOT NULL, state BYTEA NOT NULL, sequence BIGINT NOT NULL DEFAULT 0, recorded_at BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (channel, aggregate_type, aggregate_id, schema_name))",
	added: []addedColumn{
		{"SELECT sequence FROM eventstore_snapshots LIMIT 0", "ALTER TABLE eventstore_snapshots ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0"},
		{"SELECT recorded_at FROM eventstore_snapshots LIMIT 0", "ALTER TABLE eventstore_snapshots ADD COLUMN recorded_at BIGINT NOT NULL DEFAULT 0"},
	},
	load: "SELECT version, sequence, recorded_at, state FROM eventstore_snapshots WHERE channel = $1 AND aggregate_type = $2 AND aggregate_id = $3 AND schema_name = $4 AND sequence > 0",
	save: "INSERT INTO eventstore_snapshots (channel, aggregate_type, aggregate_id, schema_name, version, sequence, recorded_at, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (channel, aggregate_type, aggregate_id, schema_name) DO UPDATE SET version = excluded.version, sequence = excluded.sequence, recorded_at = excluded.recorded_at, state = excluded.state WHERE eventstore_snapshots.version <= excluded.version OR eventstore_snapshots.sequence = 0",
	drop: "DELETE FROM eventstore_snapshots WHERE channel = $1 AND aggregate_type = $2 AND aggregate_id = $3 AND schema_name = $4 AND version = $5 AND sequence = $6",
}

// MySQL assigns from left to right: recorded_at still compares the old version and sequence, and so do the next two. version, the
// last one, follows the sequence.
var mysqlSnapshots = snapshotTexts{
	create: "CREATE TABLE IF NOT EXISTS eventstore_snapshots (channel VARBINARY(255), aggregate_type VARBINARY(255), aggregate_id VARBINARY(255), schema_name VARBINARY(255), version BIGINT NOT NULL, state LONGBLOB NOT NULL, sequence BIGINT NOT NULL DEFAULT 0, recorded_at BIGINT NOT NULL DEFAULT 0, PRIMARY KEY (channel, aggregate_type, aggregate_id, schema_name))",
	added: []addedColumn{
		{"SELECT sequence FROM eventstore_snapshots LIMIT 0", "ALTER TABLE eventstore_snapshots ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0"},
		{"SELECT recorded_at FROM eventstore_snapshots LIMIT 0", "ALTER TABLE eventstore_snapshots ADD COLUMN recorded_at BIGINT NOT NULL DEFAULT 0"},
	},
	load: "SELECT version, sequence, recorded_at, state FROM eventstore_snapshots WHERE channel = ? AND aggregate_type = ? AND aggregate_id = ? AND schema_name = ? AND sequence > 0",
	save: "INSERT INTO eventstore_snapshots (channel, aggregate_type, aggregate_id, schema_name, version, sequence, recorded_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE recorded_at = IF(version <= VALUES(version) OR sequence = 0, VALUES(recorded_at), recorded_at), state = IF(version <= VALUES(version) OR sequence = 0, VALUES(state), state), sequence = IF(version <= VALUES(version) OR sequence = 0, VALUES(sequence), sequence), version = IF(sequence = VALUES(sequence), VALUES(version), version)",
	drop: "DELETE FROM eventstore_snapshots WHERE channel = ? AND aggregate_type = ? AND aggregate_id = ? AND schema_name = ? AND version = ? AND sequence = ?",
}

var sqliteSnapshots = snapshotTexts{
	create: "CREATE TABLE IF NOT EXISTS eventstore_snapshots (channel TEXT, aggregate_type TEXT, aggregate_id TEXT, schema_name TEXT, version INTEGER NOT NULL, state BLOB NOT NULL, sequence INTEGER NOT NULL DEFAULT 0, recorded_at INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (channel, aggregate_type, aggregate_id, schema_name))",
	added: []addedColumn{
		{"SELECT sequence FROM eventstore_snapshots LIMIT 0", "ALTER TABLE eventstore_snapshots ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0"},
		{"SELECT recorded_at FROM eventstore_snapshots LIMIT 0", "ALTER TABLE eventstore_snapshots ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0"},
	},
	load: "SELECT version, sequence, recorded_at, state FROM eventstore_snapshots WHERE channel = ? AND aggregate_type = ? AND aggregate_id = ? AND schema_name = ? AND sequence > 0",
	save: "INSERT INTO eventstore_snapshots (channel, aggregate_type, aggregate_id, schema_name, version, sequence, recorded_at, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (channel, aggregate_type, aggregate_id, schema_name) DO UPDATE SET version = excluded.version, sequence = excluded.sequence, recorded_at = excluded.recorded_at, state = excluded.state WHERE version <= excluded.version OR sequence = 0",
	drop: "DELETE FROM eventstore_snapshots WHERE channel = ? AND aggregate_type = ? AND aggregate_id = ? AND schema_name = ? AND version = ? AND sequence = ?",
}
