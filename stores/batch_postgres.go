package stores

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lib/pq"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

var _ batchWriter = (*postgres)(nil)

const (
	// A whole batch in one statement, which is its own transaction. It inserts nothing unless the lease row was ours, with
	// the expected last position, when it was locked. The steps see each other's outcome only through RETURNING. If a
	// channel has no row, or is not where it was, a division by zero undoes the rest.
	postgresWriteBatch = `WITH fence AS (
    UPDATE StoreLock SET tick = tick + 1, position = $4::bigint WHERE id = $1 AND epoch = $2 AND position = $3::bigint RETURNING id
), inserted AS (
    INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain)
    SELECT id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data::jsonb, metadata::jsonb, position, tags::jsonb, appender, chain
    FROM unnest($5::integer[], $6::bigint[], $7::bigint[], $8::integer[], $9::bytea[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[], $19::bigint[], $20::bytea[])
    AS r (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain)
    WHERE EXISTS (SELECT 1 FROM fence)
), tagged AS (
    INSERT INTO EventTags (tag, position)
    SELECT tag, position FROM unnest($21::text[], $22::bigint[]) AS t (tag, position)
    WHERE EXISTS (SELECT 1 FROM fence)
), advanced AS (
    UPDATE Channels SET maxseq = a.maxseq, msgs = Channels.msgs + a.msgs, bytes = Channels.bytes + a.bytes
    FROM unnest($23::integer[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[]) AS a (id, before, maxseq, msgs, bytes)
    WHERE Channels.id = a.id AND Channels.maxseq = a.before AND EXISTS (SELECT 1 FROM fence)
    RETURNING Channels.id
)
SELECT (SELECT COUNT(*) FROM fence), 1 / (CASE WHEN NOT EXISTS (SELECT 1 FROM fence) OR (SELECT COUNT(*) FROM advanced) = cardinality($23::integer[]) THEN 1 ELSE 0 END)`

	// A batch of one row without tags: arrays of one element would take half as long again. Each step takes the row of the one
	// before, and nothing is written without the last one; subqueries for that would take longer. The columns are those of row.columns.
	postgresWriteOne = `WITH fence AS (
    UPDATE StoreLock SET tick = tick + 1, position = $20::bigint WHERE id = $17 AND epoch = $18 AND position = $19::bigint RETURNING 1
), advanced AS (
    UPDATE Channels SET maxseq = $2, msgs = msgs + 1, bytes = bytes + $21::bigint
    FROM fence
    WHERE Channels.id = $1 AND Channels.maxseq = $22::bigint
    RETURNING Channels.id
), inserted AS (
    INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain)
    SELECT id, $2::bigint, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb, $12::text::jsonb, $13::bigint, $14::text::jsonb, $15::bigint, $16::bytea FROM advanced
    RETURNING 1
)
SELECT 1, 1 / COUNT(*) FROM inserted`
)

func (*postgres) openBatches(_ Options, writer *sql.DB) (*sql.DB, error) { return writer, nil }

// postgresInterrupt cancels what a session does, on the host that has it.
const postgresInterrupt = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid || ' ' || backend_start = $1"

// interrupter has the server cancel the statement, which may wait for a lock with the lease row locked. If the server does not answer,
// the connection ends a moment later.
func (*postgres) interrupter(ctx context.Context, conn *sql.Conn, pool *sql.DB) (func(), error) {
	var session string
	if err := conn.QueryRowContext(ctx, postgresSession).Scan(&session); err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), sqlconn.AnswerGrace)
		defer cancel()
		_, _ = pool.ExecContext(ctx, postgresInterrupt, session) // otherwise the connection ends
	}, nil
}

func (*postgres) writeBatch(ctx context.Context, to *single, lease lease, p *plan) error {
	rows, advances, tags := p.rows, p.advances, tagsOf(p.rows)
	size := 0
	for _, r := range rows {
		size += len(r.data)
	}
	if size > maxArrays {
		return errNeedsTransaction
	}
	text, args := postgresWriteOne, []any(nil)
	if len(rows) == 1 && len(tags) == 0 {
		args = append(rows[0].columns(make([]any, 0, rowColumns+6)), lease.id, lease.epoch, p.before.given, p.end.given, advances[0].bytes, advances[0].before)
	} else {
		text = postgresWriteBatch
		args = append([]any{lease.id, lease.epoch, p.before.given, p.end.given}, messageArrays(rows, size)...)
		args = append(args, tagArrays(tags)...)
		args = append(args, advanceArrays(advances)...)
	}
	fences, whole := 0, 0
	err := to.query(ctx, text, func(rows *sql.Rows) error { return rows.Scan(&fences, &whole) }, args...)
	var failed *pq.Error
	switch {
	case errors.As(err, &failed) && failed.Code == pqDivisionByZero:
		return errMaybeFenced
	case err != nil:
		return err
	case fences == 0:
		return errMaybeFenced
	}
	return nil
}

// pqDivisionByZero is the SQLSTATE by which a statement says that a channel was not advanced, which of one row it also says if the lease has ended.
const pqDivisionByZero = "22012"
