package stores

import "context"

const (
	sqlitePutConsumer = "INSERT INTO Consumers (consumer, id, lastsent, members) VALUES (?, ?, ?, ?) ON CONFLICT (consumer) DO UPDATE SET id = excluded.id, lastsent = excluded.lastsent, members = excluded.members"
	sqlitePutPart     = "INSERT INTO ConsumersPending (consumer, part, pending) VALUES (?, ?, ?) ON CONFLICT (consumer, part) DO UPDATE SET pending = excluded.pending"
	sqliteDeletePart  = "DELETE FROM ConsumersPending WHERE consumer = ? AND part = ?"

	sqlitePutCounts    = "INSERT INTO ConsumersRedelivered (consumer, part, counts) VALUES (?, ?, ?) ON CONFLICT (consumer, part) DO UPDATE SET counts = excluded.counts"
	sqliteDeleteCounts = "DELETE FROM ConsumersRedelivered WHERE consumer = ? AND part = ?"
)

func (*sqlite) savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts, counts []partRow) error {
	err := tx.execEach(ctx, sqlitePutConsumer, len(rows), func(i int, args []any) []any {
		return append(args, rows[i].consumer, rows[i].channel, rows[i].lastSent, rows[i].members)
	})
	if err != nil {
		return err
	}
	if err := sqliteSaveParts(ctx, tx, sqlitePutPart, sqliteDeletePart, parts); err != nil {
		return err
	}
	return sqliteSaveParts(ctx, tx, sqlitePutCounts, sqliteDeleteCounts, counts)
}

func sqliteSaveParts(ctx context.Context, tx *transaction, putText, deleteText string, parts []partRow) error {
	put, gone := splitParts(parts)
	err := tx.execEach(ctx, putText, len(put), func(i int, args []any) []any {
		return append(args, put[i].consumer, put[i].part, put[i].text)
	})
	if err != nil {
		return err
	}
	return tx.execEach(ctx, deleteText, len(gone), func(i int, args []any) []any {
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

	postgresPutCounts = `INSERT INTO ConsumersRedelivered (consumer, part, counts)
SELECT consumer, part, counts FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS p (consumer, part, counts)
ON CONFLICT (consumer, part) DO UPDATE SET counts = excluded.counts`

	postgresDeleteCounts = `DELETE FROM ConsumersRedelivered USING unnest($1::bigint[], $2::bigint[]) AS p (consumer, part)
WHERE ConsumersRedelivered.consumer = p.consumer AND ConsumersRedelivered.part = p.part`
)

func (*postgres) savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts, counts []partRow) error {
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
	if err := postgresSaveParts(ctx, tx, postgresPutParts, postgresDeleteParts, parts); err != nil {
		return err
	}
	return postgresSaveParts(ctx, tx, postgresPutCounts, postgresDeleteCounts, counts)
}

func postgresSaveParts(ctx context.Context, tx *transaction, putText, deleteText string, parts []partRow) error {
	put, gone := splitParts(parts)
	for len(put) > 0 {
		n, size := 0, 0
		for n < len(put) && (n == 0 || size+len(put[n].text) <= maxArrays) {
			size += len(put[n].text)
			n++
		}
		consumer, part, text := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n), newArray(oidText, n, size)
		for _, p := range put[:n] {
			consumer.int8(int64(p.consumer))
			part.int8(int64(p.part))
			text.text(p.text)
		}
		if _, err := tx.exec(ctx, putText, consumer.buf, part.buf, text.buf); err != nil {
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
		if _, err := tx.exec(ctx, deleteText, consumer.buf, part.buf); err != nil {
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

	mysqlPutCounts    = "INSERT INTO ConsumersRedelivered (consumer, part, counts) VALUES "
	mysqlPutCountsEnd = " ON DUPLICATE KEY UPDATE counts = VALUES(counts)"

	mysqlDeleteCounts = "DELETE FROM ConsumersRedelivered WHERE "
)

func (m *mysql) savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts, counts []partRow) error {
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
	if err := m.saveParts(ctx, tx, mysqlPutParts, mysqlPutPartsEnd, mysqlDeleteParts, parts); err != nil {
		return err
	}
	return m.saveParts(ctx, tx, mysqlPutCounts, mysqlPutCountsEnd, mysqlDeleteCounts, counts)
}

func (m *mysql) saveParts(ctx context.Context, tx *transaction, putText, putEnd, deleteText string, parts []partRow) error {
	put, gone := splitParts(parts)
	for len(put) > 0 {
		n := m.rowsThatFit(len(put), mysqlRows, func(i int) int { return len(put[i].text) })
		args := make([]any, 0, 3*n)
		for _, p := range put[:n] {
			args = append(args, p.consumer, p.part, p.text)
		}
		if _, err := tx.exec(ctx, putText+repeat(mysqlPutPartsRow, ",", n)+putEnd, args...); err != nil {
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
		if _, err := tx.exec(ctx, deleteText+repeat(mysqlDeletePartsRow, " OR ", n), args...); err != nil {
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
