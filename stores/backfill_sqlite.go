package stores

import (
	"context"
	"database/sql"
)

const (
	sqlitePlain      = "SELECT seq, data FROM Messages WHERE id = ? AND seq >= ? AND seq <= ? AND event_type IS NULL ORDER BY seq LIMIT ?"
	sqliteMessages   = "SELECT seq, data FROM Messages WHERE id = ? AND seq >= ? AND seq <= ? ORDER BY seq LIMIT ?"
	sqliteLastEvent  = "SELECT seq FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND id = ? ORDER BY event_version DESC LIMIT 1"
	sqliteHasTable   = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?)"
	sqliteFillEvents = "UPDATE Messages SET event_id = ?, aggregate_type = ?, aggregate_id = ?, event_version = ?, event_type = ?, event_data = ?, metadata = ?, position = ?, tags = ?, chain = ? WHERE id = ? AND seq = ? AND event_type IS NULL"
)

func (*sqlite) plainMessages(columns bool) string {
	if columns {
		return sqlitePlain
	}
	return sqliteMessages
}

func (*sqlite) lastEvent() string { return sqliteLastEvent }

func (*sqlite) hasTable(ctx context.Context, q querier, name string) (found bool, err error) {
	err = q.query(ctx, sqliteHasTable, func(*sql.Rows) error {
		found = true
		return nil
	}, name)
	return found, err
}

const sqliteFillPosition = "UPDATE Messages SET position = ? WHERE id = ? AND seq = ? AND position IS NULL"

func (*sqlite) fillPositions(ctx context.Context, tx *transaction, events []unnumbered) error {
	ctx, cancel := context.WithTimeout(ctx, tx.timeout)
	defer cancel()
	stmt, err := tx.tx.PrepareContext(ctx, sqliteFillPosition) // a server rarely uses it
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, e := range events {
		if _, err := stmt.ExecContext(ctx, e.position, e.channel.id, e.sequence); err != nil {
			return err
		}
	}
	return nil
}

func (*sqlite) fillEvents(ctx context.Context, tx *transaction, rows []*row) error {
	ctx, cancel := context.WithTimeout(ctx, tx.timeout)
	defer cancel()
	// Prepared here, because a server does not use it.
	stmt, err := tx.tx.PrepareContext(ctx, sqliteFillEvents)
	if err != nil {
		return err
	}
	defer stmt.Close()
	var all [rowColumns]any
	for _, r := range rows {
		columns := r.columns(all[:0])
		if _, err := stmt.ExecContext(ctx, append(filled(columns), columns[0], columns[1])...); err != nil {
			return err
		}
	}
	return nil
}

const sqliteFillChain = "UPDATE Messages SET chain = ? WHERE position = ? AND chain IS NULL"

func (*sqlite) fillChain(ctx context.Context, tx *transaction, events []chained) error {
	ctx, cancel := context.WithTimeout(ctx, tx.timeout)
	defer cancel()
	stmt, err := tx.tx.PrepareContext(ctx, sqliteFillChain) // a server rarely uses it
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i := range events {
		e := &events[i]
		if _, err := stmt.ExecContext(ctx, []byte(e.link), e.Position); err != nil {
			return err
		}
	}
	return nil
}
