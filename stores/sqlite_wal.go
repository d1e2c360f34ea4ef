package stores

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"
)

// SQLite's log starts over when all of it is in the database and no reader uses it. A long reader, or readers that
// overlap, prevent that. When the log is large, the writer therefore keeps readers out, for a moment each time.
const (
	// walLimit is the size to which the log file is cut when it starts over: four times what one checkpoint moves into
	// the database.
	walLimit = 64 << 20
	// walWarning is the size from which the server logs a warning, once an hour.
	walWarning = 512 << 20
	// walWait is how long the writer waits for readers, and walPause how long it then leaves them alone.
	walWait, walPause = 50 * time.Millisecond, 5 * time.Second
)

const sqliteWALSuffix = "-wal"

// sqliteWAL is what the writer knows about the log. It belongs to the user of the writer's connection.
type sqliteWAL struct {
	log            *slog.Logger
	limit, warning int64 // walLimit, walWarning
	pause          time.Duration
	size           int64
	tried, warned  time.Time
}

// shrink moves a large log into the database and truncates it, unless a reader is in the way. Failing at that never
// stops a write. It reports whether it tried, and so changed the connection's wait for locks.
func (w *sqliteWAL) shrink(ctx context.Context, conn *sql.Conn) (tried bool) {
	if w.size <= w.limit || time.Since(w.tried) < w.pause {
		return false
	}
	w.tried = time.Now()
	busy, pages, moved := 1, 0, 0
	_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", walWait.Milliseconds()))
	if err == nil {
		err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	}
	if busy == 0 && err == nil || w.size <= w.warning || !w.warned.IsZero() && time.Since(w.warned) < time.Hour {
		return true
	}
	w.warned = time.Now()
	w.log.Warn("SQLite's write-ahead log is large, and grows until a long-running reader ends",
		"megabytes", w.size>>20, "pages", pages, "pages_in_database", moved, "error", err)
	return true
}
