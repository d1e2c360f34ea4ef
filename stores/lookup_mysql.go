package stores

import (
	"context"
	"database/sql"
)

const (
	// One look-up per key, each the end of an index range. With an IN list the server would read the whole ranges.
	mysqlHead      = "(SELECT ? AS n, event_version FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND id = ? AND event_version > 0 ORDER BY event_version DESC LIMIT 1)"
	mysqlVersion   = "(SELECT ? AS n FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND event_version = ? AND id = ?)"
	mysqlTagged    = "(SELECT ? AS n FROM EventTags WHERE tag = ? AND position > ? AND position <= ? LIMIT 1)"
	mysqlEventByID = "(SELECT ? AS n, seq, event_version, position, erased, data FROM Messages WHERE event_id = ? AND id = ?)"
	mysqlAnd       = " UNION ALL "
)

func (*mysql) heads(ctx context.Context, q querier, keys []aggregate, found func(int, uint64)) error {
	for from := 0; from < len(keys); from += mysqlKeys {
		part := keys[from:min(from+mysqlKeys, len(keys))]
		args := make([]any, 0, 4*len(part))
		for i, key := range part {
			args = append(args, from+i, key.id, key.typ, key.channel)
		}
		err := q.query(ctx, repeat(mysqlHead, mysqlAnd, len(part)), func(rows *sql.Rows) error {
			var at int
			var version uint64
			err := rows.Scan(&at, &version)
			found(at, version)
			return err
		}, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*mysql) versions(ctx context.Context, q querier, keys []versionKey, found func(int)) error {
	for from := 0; from < len(keys); from += mysqlKeys {
		part := keys[from:min(from+mysqlKeys, len(keys))]
		args := make([]any, 0, 5*len(part))
		for i, key := range part {
			args = append(args, from+i, key.aggregate.id, key.aggregate.typ, key.version, key.aggregate.channel)
		}
		err := q.query(ctx, repeat(mysqlVersion, mysqlAnd, len(part)), func(rows *sql.Rows) error {
			var at int
			err := rows.Scan(&at)
			found(at)
			return err
		}, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*mysql) tagged(ctx context.Context, q querier, keys []tagKey, found func(int)) error {
	for from := 0; from < len(keys); from += mysqlKeys {
		part := keys[from:min(from+mysqlKeys, len(keys))]
		args := make([]any, 0, 4*len(part))
		for i, key := range part {
			args = append(args, from+i, key.tag, key.after, key.to)
		}
		err := q.query(ctx, repeat(mysqlTagged, mysqlAnd, len(part)), func(rows *sql.Rows) error {
			var at int
			err := rows.Scan(&at)
			found(at)
			return err
		}, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*mysql) eventsByID(ctx context.Context, q querier, keys []eventKey, found func(i int, e stored)) error {
	for from := 0; from < len(keys); from += mysqlKeys {
		part := keys[from:min(from+mysqlKeys, len(keys))]
		args := make([]any, 0, 3*len(part))
		for i, key := range part {
			args = append(args, from+i, key.id, key.channel)
		}
		err := q.query(ctx, repeat(mysqlEventByID, mysqlAnd, len(part)), func(rows *sql.Rows) error {
			var at int
			var e stored
			err := rows.Scan(&at, &e.sequence, (*eventNumber)(&e.version), (*eventNumber)(&e.position), (*eventNumber)(&e.erased), &e.payload)
			found(at, e)
			return err
		}, args...)
		if err != nil {
			return err
		}
	}
	return nil
}
