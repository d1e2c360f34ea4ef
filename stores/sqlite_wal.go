package stores

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"time"
)

// The log of SQLite begins again from its start when all of it is in the database and nobody reads it any more. A reader that is open for
// long, or one after the other, prevents that. So the writer asks readers to let go when the log is large, for a moment each time.
const (
	// walLimit is the size that the file of the log is cut down to when it begins again: four times of what is moved into the
	// database at a time.
	walLimit = 64 << 20
	// walWarning is the size of which the log of the server tells, once an hour.
	walWarning = 512 << 20
	// walWait is how long the writer waits for readers, and walPause how long it leaves them alone after that.
	walWait, walPause = 50 * time.Millisecond, 5 * time.Second
)

const sqliteWALSuffix = "-wal"

// sqliteWAL is what the writer knows of the log; used by whoever has the writer's connection.
type sqliteWAL struct {
	log            *slog.Logger
	limit, warning int64 // walLimit, walWarning
	pause          time.Duration
	size           int64
	tried, warned  time.Time
}

// shrink moves a large log into the database, and cuts it, unless somebody reads it. What keeps it from that is no reason not to
// write.
func (w *sqliteWAL) shrink(ctx context.Context, conn *sql.Conn) {
	if w.size <= w.limit || time.Since(w.tried) < w.pause {
		return
	}
	w.tried = time.Now()
	busy, pages, moved := 1, 0, 0
	_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", walWait.Milliseconds()))
	if err == nil {
		err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	}
	if busy == 0 && err == nil || w.size <= w.warning || !w.warned.IsZero() && time.Since(w.warned) < time.Hour {
		return
	}
	w.warned = time.Now()
	w.log.Warn("SQLite's write-ahead log is large, and grows until a reader that has been open for long is closed",
		"megabytes", w.size>>20, "pages", pages, "pages_in_database", moved, "error", err)
}
