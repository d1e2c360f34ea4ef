package stores

import (
	"context"
	"database/sql"
	"errors"

	"github.com/lib/pq"
)

var _ batchWriter = (*postgres)(nil)

const (
	// A whole batch in one statement, which is its own transaction. It inserts nothing unless the lease row was ours
	// when it was locked. The steps see each other's outcome only through RETURNING. If a channel has no row, or is not
	// where it was, a division by zero undoes the rest.
	postgresWriteBatch = `WITH fence AS (
    UPDATE StoreLock SET tick = tick + 1 WHERE id = $1 AND epoch = $2 RETURNING id
), inserted AS (
    INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata)
    SELECT id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data::jsonb, metadata::jsonb
    FROM unnest($3::integer[], $4::bigint[], $5::bigint[], $6::integer[], $7::bytea[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[])
    AS r (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata)
    WHERE EXISTS (SELECT 1 FROM fence)
), advanced AS (
    UPDATE Channels SET maxseq = a.maxseq, msgs = Channels.msgs + a.msgs, bytes = Channels.bytes + a.bytes
    FROM unnest($15::integer[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[]) AS a (id, before, maxseq, msgs, bytes)
    WHERE Channels.id = a.id AND Channels.maxseq = a.before AND EXISTS (SELECT 1 FROM fence)
    RETURNING Channels.id
)
SELECT (SELECT COUNT(*) FROM fence), 1 / (CASE WHEN NOT EXISTS (SELECT 1 FROM fence) OR (SELECT COUNT(*) FROM advanced) = cardinality($15::integer[]) THEN 1 ELSE 0 END)`

	// A batch of one row: arrays of one element would take half as long again. The columns are those of row.columns.
	postgresWriteOne = `WITH fence AS (
    UPDATE StoreLock SET tick = tick + 1 WHERE id = $13 AND epoch = $14 RETURNING id
), advanced AS (
    UPDATE Channels SET maxseq = $2, msgs = msgs + 1, bytes = bytes + $15::bigint
    WHERE id = $1 AND maxseq = $16::bigint AND EXISTS (SELECT 1 FROM fence)
    RETURNING id
), inserted AS (
    INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata)
    SELECT id, $2::bigint, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb, $12::text::jsonb FROM advanced
)
SELECT (SELECT COUNT(*) FROM fence), (SELECT COUNT(*) FROM advanced)`
)

func (*postgres) openBatches(_ Options, writer *sql.DB) (*sql.DB, error) { return writer, nil }

func (p *postgres) writeBatch(ctx context.Context, to *single, lease lease, rows []*row, advances []*advance) error {
	size := 0
	for _, r := range rows {
		size += len(r.data)
	}
	if size > maxArrays {
		return errNeedsTransaction
	}
	text, args := postgresWriteOne, []any(nil)
	if len(rows) == 1 {
		args = append(rows[0].columns(make([]any, 0, 16)), lease.id, lease.epoch, advances[0].bytes, advances[0].before)
	} else {
		text = postgresWriteBatch
		args = append([]any{lease.id, lease.epoch}, messageArrays(rows, size)...)
		args = append(args, advanceArrays(advances)...)
	}
	fences, whole := 0, 0
	err := to.query(ctx, text, func(rows *sql.Rows) error { return rows.Scan(&fences, &whole) }, args...)
	var failed *pq.Error
	switch {
	case errors.As(err, &failed) && failed.Code == pqDivisionByZero:
		return errNeedsTransaction
	case err != nil:
		return err
	case fences == 0:
		return ErrFenced
	case whole == 0:
		return errNeedsTransaction
	}
	return nil
}

// pqDivisionByZero is the SQLSTATE by which postgresWriteBatch says that a channel was not advanced.
const pqDivisionByZero = "22012"
