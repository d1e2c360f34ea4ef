package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// sqlite is the embedded database. One connection writes, in transactions that lock the file when they begin. A pool of
// other connections reads at the same time (WAL).
type sqlite struct {
	path   string         // of the file; "" for a database in memory
	files  [3]os.FileInfo // sqliteFiles when first seen; owned by the user of the writer's connection
	wal    sqliteWAL
	busy   sqliteBusy
	leader sqliteLock // held while the store holds the lease
}

var (
	_ dialect       = (*sqlite)(nil)
	_ beginPreparer = (*sqlite)(nil)
	_ ownReader     = (*sqlite)(nil)
)

func (d *sqlite) open(o Options) (write, read *sql.DB, err error) {
	if write, read, err = sqlconn.SQLite(o.pool(), o.MaxOpenConns); err == nil && o.Source != ":memory:" {
		d.path = o.Source
	}
	return write, read, err
}

// openOwn returns a pool of one connection that stays open as long as the store. SQLite removes the log files when the
// last connection closes, which would happen whenever the others are replaced.
func (d *sqlite) openOwn(o Options, writer *sql.DB) (*sql.DB, error) {
	if d.path == "" {
		return writer, nil
	}
	db, err := sqlconn.SQLiteReader(o.pool(), 1)
	if err == nil {
		db.SetConnMaxLifetime(0)
	}
	return db, err
}

func (d *sqlite) check(ctx context.Context, _, db *sql.DB, log *slog.Logger) error {
	d.wal = sqliteWAL{log: log, limit: walLimit, warning: walWarning, pause: walPause}
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return fmt.Errorf("read journal mode: %w", err)
	}
	if mode != "wal" && mode != "memory" {
		log.Warn("SQLite's write-ahead log is not available here: readers will wait for writers", "journal_mode", mode)
	}
	d.warnOfMode(log)
	return nil
}

// warnOfMode warns if other users of the machine can read or write the database. Its mode is their administrator's choice, so it
// stays as it is.
func (d *sqlite) warnOfMode(log *slog.Logger) {
	if d.path == "" || runtime.GOOS == "windows" { // where a mode says nothing
		return
	}
	for _, file := range sqliteFiles {
		if info, err := os.Stat(d.path + file.suffix); err == nil && info.Mode().Perm()&0o007 != 0 {
			log.Warn("every user of this machine has access to the database: run chmod 600 on its files",
				"file", d.path+file.suffix, "mode", info.Mode().Perm().String())
			return
		}
	}
}

// sqliteWait is how long a statement waits for a lock, for instance a migration, or a reader while the log is being
// cleaned up. The context can end the wait earlier.
const sqliteWait = 10 * time.Second

// sqliteBegin is how long one BEGIN waits for the file's lock, because it does not notice the end of its context.
const sqliteBegin = time.Second

// beforeBegin makes BEGIN wait for the file's lock, but not beyond the deadline of ctx.
func (d *sqlite) beforeBegin(ctx context.Context, conn *sql.Conn) error {
	if err := d.checkFiles(); err != nil {
		return err
	}
	if d.wal.shrink(context.WithoutCancel(ctx), conn) {
		d.busy = sqliteBusy{}
	}
	wait := sqliteWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Millisecond, min(sqliteBegin, time.Until(deadline)))
	}
	return d.busy.set(context.WithoutCancel(ctx), conn, wait.Milliseconds())
}

// sqliteBusy is the wait for a lock that was last set on the writer's connection. To set it anew costs a tenth of a lone event.
type sqliteBusy struct {
	conn         any // the driver's
	milliseconds int64
}

func (b *sqliteBusy) set(ctx context.Context, conn *sql.Conn, milliseconds int64) error {
	var now sqliteBusy
	err := conn.Raw(func(bare any) error {
		now = sqliteBusy{bare, milliseconds}
		return nil
	})
	if err != nil || now == *b {
		return err
	}
	*b = sqliteBusy{}
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", milliseconds)); err != nil {
		return err
	}
	*b = now
	return nil
}

// retryBegin repeats a BEGIN that waited for sqliteBegin, unless its context has ended.
func (d *sqlite) retryBegin(ctx context.Context, err error, took time.Duration) bool {
	_, bounded := ctx.Deadline()
	return bounded && ctx.Err() == nil && took >= sqliteBegin/2 && d.classify(err) == failedConflict
}

// sqliteFiles are the suffixes of the files that a connection keeps open, and what to do if one is lost.
var sqliteFiles = []struct{ suffix, lost string }{
	{"", "put it back and restart the server"},
	{sqliteWALSuffix, "its contents may be lost; restart the server"},
	{"-shm", "others do not see this server's locks; restart the server"},
}

// checkFiles fails if the database, its log or the log's index is no longer the file that the connections have open:
// someone removed or replaced it. Writes to the old file vanish when the last connection closes, and another process
// could write to the new one.
func (d *sqlite) checkFiles() error {
	if d.path == "" {
		return nil
	}
	for i, file := range sqliteFiles {
		now, err := os.Stat(d.path + file.suffix)
		if err == nil && file.suffix == sqliteWALSuffix {
			d.wal.size = now.Size()
		}
		switch before := d.files[i]; {
		case before == nil && err == nil:
			d.files[i] = now
		case before != nil && (err != nil || !os.SameFile(before, now)):
			return fmt.Errorf("%s was removed or replaced while it was open: %s", d.path+file.suffix, file.lost)
		}
	}
	return nil
}

func (*sqlite) version(ctx context.Context, db *sql.DB) (int64, error) {
	return sqliteSchemaVersion(ctx, db)
}

// A whole row has at most 1e9 bytes; data and event_data are nearly all of it.
func (*sqlite) valueLimit() ValueLimit {
	return ValueLimit{"half of SQLite's row limit", 500_000_000}
}

func (*sqlite) jsonDepth() int { return 999 }

func (*sqlite) classify(err error) failure {
	var e *sqlitedriver.Error
	if !errors.As(err, &e) {
		return failedUnavailable
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID,
		// An administrator's trigger against INSERT OR REPLACE fires before the unique index is checked.
		sqlite3.SQLITE_CONSTRAINT_TRIGGER:
		return failedUnique
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return failedRefused
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return failedConflict
	}
	return failedUnavailable
}

// A connection made while the file was read-only stays read-only. A new one may write.
func (*sqlite) refusesWrites(err error) bool {
	var e *sqlitedriver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_READONLY
}

// A transaction sees the state at its first read for as long as it lasts (WAL).
func (*sqlite) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

func (*sqlite) statements() *statements { return &sqliteStatements }

const (
	sqliteInsertMessage  = "INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	sqliteInsertTag      = "INSERT INTO EventTags (tag, position) VALUES (?, ?)"
	sqliteAdvanceChannel = "UPDATE Channels SET maxseq = ?, msgs = msgs + ?, bytes = bytes + ? WHERE id = ? AND maxseq = ?"
	sqliteChannelID      = "SELECT id, name FROM Channels WHERE name = ? AND deleted = FALSE"
	sqliteInsertChannel  = "INSERT INTO Channels (id, name) VALUES (?, ?)"
	sqliteSaveProgress   = `INSERT INTO SubsPending (subid, "row", seq, lastsent, pending, acks) VALUES (?, 0, 0, ?, ?, NULL) ON CONFLICT (subid, "row") DO UPDATE SET seq = 0, lastsent = excluded.lastsent, pending = excluded.pending, acks = NULL`
)

var sqliteStatements = statements{
	sharedStatements: newSharedStatements(asWritten),
	queryStatements:  sqliteQueries,

	putServerInfo:   "INSERT INTO ServerInfo (uniquerow, id, proto, version) VALUES (1, ?, ?, ?) ON CONFLICT (uniquerow) DO UPDATE SET id = excluded.id, proto = excluded.proto, version = excluded.version",
	putClient:       "INSERT INTO Clients (id, hbinbox, proto) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET hbinbox = excluded.hbinbox, proto = excluded.proto",
	putRelay:        "INSERT INTO Relays (stream, position) VALUES (?, ?) ON CONFLICT (stream) DO UPDATE SET position = excluded.position",
	putWildcard:     "INSERT INTO Wildcards (consumer, pattern) VALUES (?, ?) ON CONFLICT (consumer) DO UPDATE SET pattern = excluded.pattern",
	putSubscription: "INSERT INTO Subscriptions (id, subid, proto, client, name, kind) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id, subid) DO UPDATE SET proto = excluded.proto, client = excluded.client, name = excluded.name, kind = excluded.kind",
	putNamed:        "INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES (?, ?, ?, ?, ?) ON CONFLICT (consumer) DO UPDATE SET channel = excluded.channel, client = excluded.client, name = excluded.name, settings = excluded.settings",
	putCancelled:    "INSERT INTO CancelledDeliveries (id, seq) VALUES (?, ?) ON CONFLICT (id, seq) DO NOTHING",
	putAudit:        "INSERT INTO AuditEntries (id, time, principal, address, action, target, detail) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
	putErasure:      "INSERT INTO Erasures (id, requested, principal, reason, selector, state, events, copies, erased) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0) ON CONFLICT (id) DO NOTHING",

	more: []string{sqliteInsertMessage, sqliteInsertTag, sqliteAdvanceChannel, sqliteChannelID, sqliteInsertChannel, sqliteSaveProgress, sqliteHead, sqliteVersion, sqliteTagged, sqliteEventByID, sqlitePutConsumer, sqlitePutPart, sqliteDeletePart, sqlitePutCounts, sqliteDeleteCounts, sqlitePark, sqliteUnpark, sqliteParkedAt},
}

func (*sqlite) insertMessages(ctx context.Context, tx *transaction, rows []*row) error {
	// SQLite runs in this process: one statement per row costs no round trip.
	return tx.execEach(ctx, sqliteInsertMessage, len(rows), func(i int, args []any) []any { return rows[i].columns(args) })
}

func (*sqlite) insertTags(ctx context.Context, tx *transaction, tags []tag) error {
	return tx.execEach(ctx, sqliteInsertTag, len(tags), func(i int, args []any) []any { return append(args, tags[i].text, tags[i].position) })
}

func (*sqlite) advanceChannels(ctx context.Context, tx *transaction, advances []*advance) error {
	for _, a := range advances {
		changed, err := tx.exec(ctx, sqliteAdvanceChannel, a.last, a.msgs, a.bytes, a.channel.id, a.before)
		if err != nil {
			return err
		}
		if changed != 1 {
			return errNotAdvanced
		}
	}
	return nil
}

func (*sqlite) channelIDs(ctx context.Context, q querier, names []string, found func(int64, string)) error {
	for _, name := range names {
		if err := q.query(ctx, sqliteChannelID, scanChannelID(found), name); err != nil {
			return err
		}
	}
	return nil
}

func (*sqlite) insertChannels(ctx context.Context, tx *transaction, channels []*Channel) error {
	return tx.execEach(ctx, sqliteInsertChannel, len(channels), func(i int, args []any) []any {
		return append(args, channels[i].id, channels[i].name)
	})
}

func (*sqlite) saveProgress(ctx context.Context, tx *transaction, rows []progressRow) error {
	return tx.execEach(ctx, sqliteSaveProgress, len(rows), func(i int, args []any) []any {
		return append(args, rows[i].subscription, rows[i].lastSent, nullBytes(rows[i].pending))
	})
}
