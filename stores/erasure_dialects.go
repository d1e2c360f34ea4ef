package stores

import (
	"context"
	"database/sql"
	"fmt"
)

var (
	sqliteErasing = erasing{
		list: "INSERT INTO ErasedMessages (erasure, id, seq, position, size, data, chain) VALUES ", listEnd: " ON CONFLICT (erasure, id, seq) DO NOTHING",
		replace: "UPDATE Messages SET size = e.size, data = e.data, event_data = NULL, metadata = NULL, tags = NULL, erased = e.erasure, chain = e.chain FROM ErasedMessages AS e WHERE e.erasure = ? AND e.id = ? AND e.seq >= ? AND e.seq <= ? AND Messages.id = e.id AND Messages.seq = e.seq",
	}
	postgresErasing = erasing{
		list: sqliteErasing.list, listEnd: sqliteErasing.listEnd,
		replace: "UPDATE Messages AS m SET size = e.size, data = e.data, event_data = NULL, metadata = NULL, tags = NULL, erased = e.erasure, chain = e.chain FROM ErasedMessages AS e WHERE e.erasure = $1 AND e.id = $2 AND e.seq >= $3 AND e.seq <= $4 AND m.id = e.id AND m.seq = e.seq",
	}
	mysqlErasing = erasing{
		list:    "INSERT IGNORE INTO ErasedMessages (erasure, id, seq, position, size, data, chain) VALUES ",
		replace: "UPDATE Messages AS m JOIN ErasedMessages AS e ON e.id = m.id AND e.seq = m.seq SET m.size = e.size, m.data = e.data, m.event_data = NULL, m.metadata = NULL, m.tags = NULL, m.erased = e.erasure, m.chain = e.chain WHERE e.erasure = ? AND e.id = ? AND e.seq >= ? AND e.seq <= ?",
	}
)

func (*sqlite) erasing() erasing   { return sqliteErasing }
func (*postgres) erasing() erasing { return postgresErasing }
func (*mysql) erasing() erasing    { return mysqlErasing }

var (
	_ eraser = (*sqlite)(nil)
	_ eraser = (*postgres)(nil)
)

// beforeErase has each listed message looked up by its key: what is listed is new to the planner, which would otherwise read all messages.
func (*postgres) beforeErase(ctx context.Context, t *transaction) error {
	_, err := t.exec(ctx, "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off")
	return err
}

func (*postgres) emptyLog(context.Context, *sql.DB) error { return nil }

// beforeErase makes SQLite overwrite what it frees in the pages of the file.
func (*sqlite) beforeErase(ctx context.Context, t *transaction) error {
	return t.query(ctx, "PRAGMA secure_delete = ON", func(*sql.Rows) error { return nil })
}

// emptyLog truncates the log, which has the pages as they were.
func (d *sqlite) emptyLog(ctx context.Context, db *sql.DB) error {
	if d.path == "" {
		return nil
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PRAGMA secure_delete = FAST"); err != nil { // as before the erasure
		return err
	}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", walWait.Milliseconds())); err != nil {
		return err
	}
	busy, pages, moved := 0, 0, 0
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	if err == nil && busy != 0 {
		return errBusyLog
	}
	return err
}
