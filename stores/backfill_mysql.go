package stores

import (
	"context"
	"database/sql"
	"slices"
)

const (
	mysqlPlain     = "SELECT seq, data FROM Messages WHERE id = ? AND seq >= ? AND seq <= ? AND event_type IS NULL ORDER BY seq LIMIT ?"
	mysqlMessages  = "SELECT seq, data FROM Messages WHERE id = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?"
	mysqlLastEvent = "SELECT seq FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND id = ? ORDER BY event_version DESC LIMIT 1"
	mysqlHasTable  = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND lower(table_name) = lower(?)"

	// One round trip for many rows; the join finds each one by its key.
	mysqlFillEvents      = "UPDATE (SELECT ? AS id, ? AS seq, ? AS event_id, ? AS aggregate_type, ? AS aggregate_id, ? AS event_version, ? AS event_type, ? AS event_data, ? AS metadata, ? AS position, ? AS tags, ? AS chain"
	mysqlFillEventsRow   = " UNION ALL SELECT ?,?,?,?,?,?,?,?,?,?,?,?"
	mysqlFillEventsEnd   = ") AS r STRAIGHT_JOIN Messages AS m ON m.id = r.id AND m.seq = r.seq SET m.event_id = r.event_id, m.aggregate_type = r.aggregate_type, m.aggregate_id = r.aggregate_id, m.event_version = r.event_version, m.event_type = r.event_type, m.event_data = r.event_data, m.metadata = r.metadata, m.position = r.position, m.tags = r.tags, m.chain = r.chain WHERE m.event_type IS NULL"
	mysqlFillEventsAtOne = "UPDATE Messages SET event_id = ?, aggregate_type = ?, aggregate_id = ?, event_version = ?, event_type = ?, event_data = ?, metadata = ?, position = ?, tags = ?, chain = ? WHERE id = ? AND seq = ? AND event_type IS NULL"
	mysqlFillRows        = 500
)

func (*mysql) plainMessages(columns bool) string {
	if columns {
		return mysqlPlain
	}
	return mysqlMessages
}

func (*mysql) lastEvent() string { return mysqlLastEvent }

func (*mysql) hasTable(ctx context.Context, q querier, name string) (found bool, err error) {
	err = q.query(ctx, mysqlHasTable, func(*sql.Rows) error {
		found = true
		return nil
	}, name)
	return found, err
}

const (
	mysqlFillPositions    = "UPDATE (SELECT ? AS id, ? AS seq, ? AS position"
	mysqlFillPositionsRow = " UNION ALL SELECT ?,?,?"
	mysqlFillPositionsEnd = ") AS r STRAIGHT_JOIN Messages AS m ON m.id = r.id AND m.seq = r.seq SET m.position = r.position WHERE m.position IS NULL"
)

func (*mysql) fillPositions(ctx context.Context, tx *transaction, events []unnumbered) error {
	for len(events) > 0 {
		n := min(len(events), mysqlFillRows)
		args := make([]any, 0, 3*n)
		for _, e := range events[:n] {
			args = append(args, e.channel.id, e.sequence, e.position)
		}
		if _, err := tx.exec(ctx, mysqlFillPositions+repeat(mysqlFillPositionsRow, "", n-1)+mysqlFillPositionsEnd, args...); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func (m *mysql) fillEvents(ctx context.Context, tx *transaction, rows []*row) error {
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < mysqlFillRows {
			r := rows[n]
			bytes := mysqlSize(r)
			if n > 0 && size+bytes > m.packet {
				break
			}
			size += bytes
			n++
		}
		args := make([]any, 0, 12*n)
		var all [rowColumns]any
		for _, r := range rows[:n] {
			columns := r.columns(all[:0])
			args = append(append(args, columns[:2]...), filled(columns)...)
		}
		text := mysqlFillEvents + repeat(mysqlFillEventsRow, "", n-1) + mysqlFillEventsEnd
		if n == 1 {
			text = mysqlFillEventsAtOne
			args = append(args[2:], args[:2]...)
		}
		if _, err := tx.exec(ctx, text, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

const (
	mysqlFillChain    = "UPDATE (SELECT ? AS position, ? AS chain"
	mysqlFillChainRow = " UNION ALL SELECT ?,?"
	mysqlFillChainEnd = ") AS r STRAIGHT_JOIN Messages AS m ON m.position = r.position SET m.chain = r.chain WHERE m.chain IS NULL"
)

func (*mysql) fillChain(ctx context.Context, tx *transaction, events []chained) error {
	for part := range slices.Chunk(events, mysqlFillRows) {
		args := make([]any, 0, 2*len(part))
		for i := range part {
			args = append(args, part[i].Position, []byte(part[i].link))
		}
		if _, err := tx.exec(ctx, mysqlFillChain+repeat(mysqlFillChainRow, "", len(part)-1)+mysqlFillChainEnd, args...); err != nil {
			return err
		}
	}
	return nil
}
