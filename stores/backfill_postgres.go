package stores

import (
	"context"
	"database/sql"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
)

const (
	postgresPlain     = "SELECT seq, data FROM Messages WHERE id = $1 AND seq >= $2 AND seq <= $3 AND event_type IS NULL ORDER BY seq LIMIT $4"
	postgresMessages  = "SELECT seq, data FROM Messages WHERE id = $1 AND seq >= $2 AND seq <= $3 ORDER BY seq LIMIT $4"
	postgresLastEvent = "SELECT seq FROM Messages WHERE aggregate_id = $1 AND aggregate_type = $2 AND id = $3 ORDER BY event_version DESC LIMIT 1"
	postgresHasTable  = "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = lower($1)"

	postgresFillEvents = `UPDATE Messages AS m
SET event_id = r.event_id, aggregate_type = r.aggregate_type, aggregate_id = r.aggregate_id, event_version = r.event_version, event_type = r.event_type, event_data = r.event_data::jsonb, metadata = r.metadata::jsonb, position = r.position, tags = r.tags::jsonb, chain = r.chain
FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bytea[])
AS r (id, seq, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, chain)
WHERE m.id = r.id AND m.seq = r.seq AND m.event_type IS NULL`
)

func (*postgres) plainMessages(columns bool) string {
	if columns {
		return postgresPlain
	}
	return postgresMessages
}

func (*postgres) lastEvent() string { return postgresLastEvent }

func (*postgres) hasTable(ctx context.Context, q querier, name string) (found bool, err error) {
	err = q.query(ctx, postgresHasTable, func(*sql.Rows) error {
		found = true
		return nil
	}, name)
	return found, err
}

const postgresFillPositions = `UPDATE Messages AS m SET position = r.position
FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS r (id, seq, position)
WHERE m.id = r.id AND m.seq = r.seq AND m.position IS NULL`

func (*postgres) fillPositions(ctx context.Context, tx *transaction, events []unnumbered) error {
	n := len(events)
	id, seq, position := newArray(oidInt4, n, 4*n), newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
	for _, e := range events {
		id.int4(int32(e.channel.id))
		seq.int8(int64(e.sequence))
		position.int8(int64(e.position))
	}
	_, err := tx.exec(ctx, postgresFillPositions, id.buf, seq.buf, position.buf)
	return err
}

func (*postgres) fillEvents(ctx context.Context, tx *transaction, rows []*row) error {
	size := 0
	for _, r := range rows {
		size += len(r.document)
	}
	columns := messageArrays(rows, size)
	_, err := tx.exec(ctx, postgresFillEvents, append(columns[:2:2], filled(columns)...)...)
	return err
}

const postgresFillChain = `UPDATE Messages AS m SET chain = r.chain
FROM unnest($1::bigint[], $2::bytea[]) AS r (position, chain)
WHERE m.position = r.position AND m.chain IS NULL`

func (*postgres) fillChain(ctx context.Context, tx *transaction, events []chained) error {
	n := len(events)
	position, link := newArray(oidInt8, n, 8*n), newArray(oidBytea, n, chain.LinkSize*n)
	for i := range events {
		e := &events[i]
		position.int8(int64(e.Position))
		link.bytes(e.link)
	}
	_, err := tx.exec(ctx, postgresFillChain, position.buf, link.buf)
	return err
}
