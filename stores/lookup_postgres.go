package stores

import (
	"context"
	"database/sql"
)

const (
	postgresHeads = `SELECT k.n, m.event_version
FROM unnest($1::text[], $2::text[], $3::integer[]) WITH ORDINALITY AS k (aggregate_id, aggregate_type, id, n)
CROSS JOIN LATERAL (SELECT event_version FROM Messages
    WHERE aggregate_id = k.aggregate_id AND aggregate_type = k.aggregate_type AND id = k.id AND event_version > 0
    ORDER BY event_version DESC LIMIT 1) AS m`

	postgresVersions = `SELECT k.n
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[]) WITH ORDINALITY AS k (aggregate_id, aggregate_type, event_version, id, n)
CROSS JOIN LATERAL (SELECT 1 FROM Messages
    WHERE aggregate_id = k.aggregate_id AND aggregate_type = k.aggregate_type AND event_version = k.event_version AND id = k.id
    LIMIT 1) AS m`

	postgresTagged = `SELECT k.n
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS k (tag, low, high, n)
CROSS JOIN LATERAL (SELECT 1 FROM EventTags WHERE tag = k.tag AND position > k.low AND position <= k.high LIMIT 1) AS t`

	postgresEventsByID = `SELECT k.n, m.seq, m.event_version, m.position, m.erased, m.data
FROM unnest($1::text[], $2::integer[]) WITH ORDINALITY AS k (event_id, id, n)
CROSS JOIN LATERAL (SELECT seq, event_version, position, erased, data FROM Messages WHERE event_id = k.event_id AND id = k.id LIMIT 1) AS m`
)

func (*postgres) heads(ctx context.Context, q querier, keys []aggregate, found func(int, uint64)) error {
	n := len(keys)
	id, typ, channel := newArray(oidText, n, 36*n), newArray(oidText, n, 16*n), newArray(oidInt4, n, 4*n)
	for _, key := range keys {
		id.text(key.id)
		typ.text(key.typ)
		channel.int4(int32(key.channel))
	}
	return q.query(ctx, postgresHeads, func(rows *sql.Rows) error {
		var at int
		var version uint64
		err := rows.Scan(&at, &version)
		found(at-1, version)
		return err
	}, id.buf, typ.buf, channel.buf)
}

func (*postgres) versions(ctx context.Context, q querier, keys []versionKey, found func(int)) error {
	n := len(keys)
	id, typ := newArray(oidText, n, 36*n), newArray(oidText, n, 16*n)
	version, channel := newArray(oidInt8, n, 8*n), newArray(oidInt4, n, 4*n)
	for _, key := range keys {
		id.text(key.aggregate.id)
		typ.text(key.aggregate.typ)
		version.int8(int64(key.version))
		channel.int4(int32(key.aggregate.channel))
	}
	return q.query(ctx, postgresVersions, func(rows *sql.Rows) error {
		var at int
		err := rows.Scan(&at)
		found(at - 1)
		return err
	}, id.buf, typ.buf, version.buf, channel.buf)
}

func (*postgres) tagged(ctx context.Context, q querier, keys []tagKey, found func(int)) error {
	n := len(keys)
	tags, after, to := newArray(oidText, n, 24*n), newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
	for _, key := range keys {
		tags.text(key.tag)
		after.int8(int64(key.after))
		to.int8(int64(key.to))
	}
	return q.query(ctx, postgresTagged, func(rows *sql.Rows) error {
		var at int
		err := rows.Scan(&at)
		found(at - 1)
		return err
	}, tags.buf, after.buf, to.buf)
}

func (*postgres) eventsByID(ctx context.Context, q querier, keys []eventKey, found func(i int, e stored)) error {
	n := len(keys)
	id, channel := newArray(oidText, n, 36*n), newArray(oidInt4, n, 4*n)
	for _, key := range keys {
		id.text(key.id)
		channel.int4(int32(key.channel))
	}
	return q.query(ctx, postgresEventsByID, func(rows *sql.Rows) error {
		var at int
		var e stored
		err := rows.Scan(&at, &e.sequence, (*eventNumber)(&e.version), (*eventNumber)(&e.position), (*eventNumber)(&e.erased), &e.payload)
		found(at-1, e)
		return err
	}, id.buf, channel.buf)
}
