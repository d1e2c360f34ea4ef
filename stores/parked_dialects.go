package stores

import (
	"context"
	"database/sql"
	"slices"
)

const (
	sqlitePark     = "INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (consumer, seq) DO UPDATE SET deliveries = excluded.deliveries, first_delivery = excluded.first_delivery, last_delivery = excluded.last_delivery, ordering_key = excluded.ordering_key, reason = excluded.reason"
	sqliteUnpark   = "DELETE FROM Parked WHERE consumer = ? AND seq = ?"
	sqliteParkedAt = "SELECT seq, deliveries, first_delivery, last_delivery, ordering_key, reason FROM Parked WHERE consumer = ? AND seq = ?"
)

// columns appends the values of a row of Parked.
func (m *ParkedMessage) columns(args []any) []any {
	return append(args, m.Consumer, m.Seq, m.Deliveries, m.First, m.Last, m.Key, m.Reason)
}

func (*sqlite) park(ctx context.Context, tx *transaction, rows []ParkedMessage) error {
	return tx.execEach(ctx, sqlitePark, len(rows), func(i int, args []any) []any { return rows[i].columns(args) })
}

func (*sqlite) unpark(ctx context.Context, tx *transaction, rows []ParkedKey) error {
	return tx.execEach(ctx, sqliteUnpark, len(rows), func(i int, args []any) []any { return append(args, rows[i].Consumer, rows[i].Seq) })
}

func (*sqlite) parkedAt(ctx context.Context, q querier, consumer uint64, seqs []uint64, scan func(*sql.Rows) error) error {
	for _, seq := range seqs {
		if err := q.query(ctx, sqliteParkedAt, scan, consumer, seq); err != nil {
			return err
		}
	}
	return nil
}

const (
	postgresPark = `INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason)
SELECT consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[])
AS p (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason)
ON CONFLICT (consumer, seq) DO UPDATE SET deliveries = excluded.deliveries, first_delivery = excluded.first_delivery, last_delivery = excluded.last_delivery, ordering_key = excluded.ordering_key, reason = excluded.reason`

	postgresUnpark = `DELETE FROM Parked USING unnest($1::bigint[], $2::bigint[]) AS p (consumer, seq)
WHERE Parked.consumer = p.consumer AND Parked.seq = p.seq`

	postgresParkedAt = "SELECT seq, deliveries, first_delivery, last_delivery, ordering_key, reason FROM Parked WHERE consumer = $1 AND seq = ANY($2::bigint[])"
)

// parkedRowsMost bounds the rows of a statement.
const parkedRowsMost = 20_000

func (*postgres) park(ctx context.Context, tx *transaction, rows []ParkedMessage) error {
	for part := range slices.Chunk(rows, parkedRowsMost) {
		n := len(part)
		consumer, seq, deliveries := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
		first, last := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
		key, reason := newArray(oidText, n, 36*n), newArray(oidText, n, 64*n)
		for _, m := range part {
			consumer.int8(int64(m.Consumer))
			seq.int8(int64(m.Seq))
			deliveries.int8(int64(m.Deliveries))
			first.int8(m.First)
			last.int8(m.Last)
			key.text(m.Key)
			reason.text(m.Reason)
		}
		if _, err := tx.exec(ctx, postgresPark, consumer.buf, seq.buf, deliveries.buf, first.buf, last.buf, key.buf, reason.buf); err != nil {
			return err
		}
	}
	return nil
}

func (*postgres) unpark(ctx context.Context, tx *transaction, rows []ParkedKey) error {
	for part := range slices.Chunk(rows, parkedRowsMost) {
		n := len(part)
		consumer, seq := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
		for _, key := range part {
			consumer.int8(int64(key.Consumer))
			seq.int8(int64(key.Seq))
		}
		if _, err := tx.exec(ctx, postgresUnpark, consumer.buf, seq.buf); err != nil {
			return err
		}
	}
	return nil
}

func (*postgres) parkedAt(ctx context.Context, q querier, consumer uint64, seqs []uint64, scan func(*sql.Rows) error) error {
	all := newArray(oidInt8, len(seqs), 8*len(seqs))
	for _, seq := range seqs {
		all.int8(int64(seq))
	}
	return q.query(ctx, postgresParkedAt, scan, consumer, all.buf)
}

const (
	mysqlPark    = "INSERT INTO Parked (consumer, seq, deliveries, first_delivery, last_delivery, ordering_key, reason) VALUES "
	mysqlParkRow = "(?,?,?,?,?,?,?)"
	mysqlParkEnd = " ON DUPLICATE KEY UPDATE deliveries = VALUES(deliveries), first_delivery = VALUES(first_delivery), last_delivery = VALUES(last_delivery), ordering_key = VALUES(ordering_key), reason = VALUES(reason)"

	mysqlUnpark   = "DELETE FROM Parked WHERE consumer = ? AND seq IN ("
	mysqlParkedAt = "SELECT seq, deliveries, first_delivery, last_delivery, ordering_key, reason FROM Parked WHERE consumer = ? AND seq IN ("
)

func (m *mysql) park(ctx context.Context, tx *transaction, rows []ParkedMessage) error {
	for len(rows) > 0 {
		n := m.rowsThatFit(len(rows), mysqlRows, func(i int) int { return 2 * (len(rows[i].Key) + len(rows[i].Reason)) })
		args := make([]any, 0, 7*n)
		for i := range rows[:n] {
			args = rows[i].columns(args)
		}
		if _, err := tx.exec(ctx, mysqlPark+repeat(mysqlParkRow, ",", n)+mysqlParkEnd, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func (*mysql) unpark(ctx context.Context, tx *transaction, rows []ParkedKey) error {
	return perConsumer(rows, mysqlRows, func(consumer uint64, seqs []uint64) error {
		_, err := tx.exec(ctx, mysqlUnpark+repeat("?", ",", len(seqs))+")", append([]any{consumer}, positionArgs(seqs)...)...)
		return err
	})
}

func (*mysql) parkedAt(ctx context.Context, q querier, consumer uint64, seqs []uint64, scan func(*sql.Rows) error) error {
	for part := range slices.Chunk(seqs, mysqlRows) {
		if err := q.query(ctx, mysqlParkedAt+repeat("?", ",", len(part))+")", scan, append([]any{consumer}, positionArgs(part)...)...); err != nil {
			return err
		}
	}
	return nil
}
