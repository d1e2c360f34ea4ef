package stores

import "context"

const (
	sqlitePutConsumer = "INSERT INTO Consumers (consumer, id, lastsent, members) VALUES (?, ?, ?, ?) ON CONFLICT (consumer) DO UPDATE SET id = excluded.id, lastsent = excluded.lastsent, members = excluded.members"
	sqlitePutPart     = "INSERT INTO ConsumersPending (consumer, part, pending) VALUES (?, ?, ?) ON CONFLICT (consumer, part) DO UPDATE SET pending = excluded.pending"
	sqliteDeletePart  = "DELETE FROM ConsumersPending WHERE consumer = ? AND part = ?"
)

func (*sqlite) savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts []partRow) error {
	err := tx.execEach(ctx, sqlitePutConsumer, len(rows), func(i int, args []any) []any {
		return append(args, rows[i].consumer, rows[i].channel, rows[i].lastSent, rows[i].members)
	})
	if err != nil {
		return err
	}
	put, gone := splitParts(parts)
	err = tx.execEach(ctx, sqlitePutPart, len(put), func(i int, args []any) []any {
		return append(args, put[i].consumer, put[i].part, put[i].pending)
	})
	if err != nil {
		return err
	}
	return tx.execEach(ctx, sqliteDeletePart, len(gone), func(i int, args []any) []any {
		return append(args, gone[i].consumer, gone[i].part)
	})
}

const (
	postgresPutConsumers = `INSERT INTO Consumers (consumer, id, lastsent, members)
SELECT consumer, id, lastsent, members FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[]) AS c (consumer, id, lastsent, members)
ON CONFLICT (consumer) DO UPDATE SET id = excluded.id, lastsent = excluded.lastsent, members = excluded.members`

	postgresPutParts = `INSERT INTO ConsumersPending (consumer, part, pending)
SELECT consumer, part, pending FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS p (consumer, part, pending)
ON CONFLICT (consumer, part) DO UPDATE SET pending = excluded.pending`

	postgresDeleteParts = `DELETE FROM ConsumersPending USING unnest($1::bigint[], $2::bigint[]) AS p (consumer, part)
WHERE ConsumersPending.consumer = p.consumer AND ConsumersPending.part = p.part`
)

func (*postgres) savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts []partRow) error {
	if n := len(rows); n > 0 {
		consumer, channel, last, members := newArray(oidInt8, n, 8*n), newArray(oidInt4, n, 4*n), newArray(oidInt8, n, 8*n), newArray(oidText, n, 16*n)
		for _, r := range rows {
			consumer.int8(int64(r.consumer))
			channel.int4(int32(r.channel))
			last.int8(int64(r.lastSent))
			members.text(r.members)
		}
		if _, err := tx.exec(ctx, postgresPutConsumers, consumer.buf, channel.buf, last.buf, members.buf); err != nil {
			return err
		}
	}
	put, gone := splitParts(parts)
	for len(put) > 0 {
		n, size := 0, 0
		for n < len(put) && (n == 0 || size+len(put[n].pending) <= maxArrays) {
			size += len(put[n].pending)
			n++
		}
		consumer, part, pending := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n), newArray(oidText, n, size)
		for _, p := range put[:n] {
			consumer.int8(int64(p.consumer))
			part.int8(int64(p.part))
			pending.text(p.pending)
		}
		if _, err := tx.exec(ctx, postgresPutParts, consumer.buf, part.buf, pending.buf); err != nil {
			return err
		}
		put = put[n:]
	}
	if n := len(gone); n > 0 {
		consumer, part := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
		for _, p := range gone {
			consumer.int8(int64(p.consumer))
			part.int8(int64(p.part))
		}
		if _, err := tx.exec(ctx, postgresDeleteParts, consumer.buf, part.buf); err != nil {
			return err
		}
	}
	return nil
}

const (
	mysqlPutConsumers    = "INSERT INTO Consumers (consumer, id, lastsent, members) VALUES "
	mysqlPutConsumersRow = "(?,?,?,?)"
	mysqlPutConsumersEnd = " ON DUPLICATE KEY UPDATE id = VALUES(id), lastsent = VALUES(lastsent), members = VALUES(members)"

	mysqlPutParts    = "INSERT INTO ConsumersPending (consumer, part, pending) VALUES "
	mysqlPutPartsRow = "(?,?,?)"
	mysqlPutPartsEnd = " ON DUPLICATE KEY UPDATE pending = VALUES(pending)"

	mysqlDeleteParts    = "DELETE FROM ConsumersPending WHERE "
	mysqlDeletePartsRow = "(consumer = ? AND part = ?)"
)

func (m *mysql) savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts []partRow) error {
	for len(rows) > 0 {
		n := m.rowsThatFit(len(rows), mysqlRows, func(i int) int { return len(rows[i].members) })
		args := make([]any, 0, 4*n)
		for _, r := range rows[:n] {
			args = append(args, r.consumer, r.channel, r.lastSent, r.members)
		}
		if _, err := tx.exec(ctx, mysqlPutConsumers+repeat(mysqlPutConsumersRow, ",", n)+mysqlPutConsumersEnd, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	put, gone := splitParts(parts)
	for len(put) > 0 {
		n := m.rowsThatFit(len(put), mysqlRows, func(i int) int { return len(put[i].pending) })
		args := make([]any, 0, 3*n)
		for _, p := range put[:n] {
			args = append(args, p.consumer, p.part, p.pending)
		}
		if _, err := tx.exec(ctx, mysqlPutParts+repeat(mysqlPutPartsRow, ",", n)+mysqlPutPartsEnd, args...); err != nil {
			return err
		}
		put = put[n:]
	}
	for len(gone) > 0 {
		n := m.rowsThatFit(len(gone), mysqlKeys, func(int) int { return 0 })
		args := make([]any, 0, 2*n)
		for _, p := range gone[:n] {
			args = append(args, p.consumer, p.part)
		}
		if _, err := tx.exec(ctx, mysqlDeleteParts+repeat(mysqlDeletePartsRow, " OR ", n), args...); err != nil {
			return err
		}
		gone = gone[n:]
	}
	return nil
}

// rowsThatFit returns how many of n rows, at most limit and at least one, fit into one statement. size returns the length
// of a row's text.
func (m *mysql) rowsThatFit(n, limit int, size func(i int) int) int {
	total := 0
	for i := range min(n, limit) {
		if total += 100 + size(i); i > 0 && total > m.packet {
			return i
		}
	}
	return min(n, limit)
}
