package stores

import (
	"context"
	"database/sql"
)

const (
	sqliteHead      = "SELECT event_version FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND id = ? AND event_version > 0 ORDER BY event_version DESC LIMIT 1"
	sqliteVersion   = "SELECT 1 FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND event_version = ? AND id = ?"
	sqliteTagged    = "SELECT 1 FROM EventTags WHERE tag = ? AND position > ? AND position <= ? LIMIT 1"
	sqliteEventByID = "SELECT seq, event_version, position, erased, data FROM Messages WHERE event_id = ? AND id = ?"
)

func (*sqlite) heads(ctx context.Context, q querier, keys []aggregate, found func(int, uint64)) error {
	for i, key := range keys {
		err := q.query(ctx, sqliteHead, func(rows *sql.Rows) error {
			var version uint64
			err := rows.Scan(&version)
			found(i, version)
			return err
		}, key.id, key.typ, key.channel)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*sqlite) versions(ctx context.Context, q querier, keys []versionKey, found func(int)) error {
	for i, key := range keys {
		err := q.query(ctx, sqliteVersion, func(*sql.Rows) error {
			found(i)
			return nil
		}, key.aggregate.id, key.aggregate.typ, key.version, key.aggregate.channel)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*sqlite) tagged(ctx context.Context, q querier, keys []tagKey, found func(int)) error {
	for i, key := range keys {
		err := q.query(ctx, sqliteTagged, func(*sql.Rows) error {
			found(i)
			return nil
		}, key.tag, key.after, key.to)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*sqlite) eventsByID(ctx context.Context, q querier, keys []eventKey, found func(i int, e stored)) error {
	for i, key := range keys {
		err := q.query(ctx, sqliteEventByID, func(rows *sql.Rows) error {
			var e stored
			err := rows.Scan(&e.sequence, (*eventNumber)(&e.version), (*eventNumber)(&e.position), (*eventNumber)(&e.erased), &e.payload)
			found(i, e)
			return err
		}, key.id, key.channel)
		if err != nil {
			return err
		}
	}
	return nil
}
