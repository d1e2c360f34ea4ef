package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// sqlite is the embedded database. One connection writes, in transactions that take the file's lock when they begin;
// a pool of others reads beside it (WAL).
type sqlite struct {
	path   string         // of the file, "" in memory
	files  [3]os.FileInfo // sqliteFiles as they were when first seen; used by whoever has the writer's connection
	wal    sqliteWAL
	leader sqliteLock // held while the store holds the lease
}

var (
	_ dialect   = (*sqlite)(nil)
	_ beginner  = (*sqlite)(nil)
	_ ownReader = (*sqlite)(nil)
)

func (d *sqlite) open(o Options) (write, read *sql.DB, err error) {
	if write, read, err = sqlconn.SQLite(o.pool(), o.MaxOpenConns); err == nil && o.Source != ":memory:" {
		d.path = o.Source
	}
	return write, read, err
}

// openOwn returns the pool of one connection that is never closed while the store is open, so that SQLite does not remove the
// files of the log, and make others, when the last of the other connections is replaced.
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

func (d *sqlite) check(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	d.wal = sqliteWAL{log: log, limit: walLimit, warning: walWarning, pause: walPause}
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return fmt.Errorf("read journal mode: %w", err)
	}
	if mode != "wal" && mode != "memory" {
		log.Warn("SQLite's write-ahead log is not available here: readers will wait for writers", "journal_mode", mode)
	}
	return nil
}

// sqliteWait is how long a statement waits for a lock unless its context ends before: that of a migration, and of a reader
// while the log is cleaned up.
const sqliteWait = 10 * time.Second

// sqliteBegin is how long one BEGIN waits for the file's lock: it does not notice that its context ends.
const sqliteBegin = time.Second

// beforeBegin has BEGIN wait for the file's lock, but not beyond the deadline of ctx.
func (d *sqlite) beforeBegin(ctx context.Context, conn *sql.Conn) error {
	if err := d.checkFiles(); err != nil {
		return err
	}
	d.wal.shrink(context.WithoutCancel(ctx), conn)
	wait := sqliteWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Millisecond, min(sqliteBegin, time.Until(deadline)))
	}
	_, err := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("PRAGMA busy_timeout = %d", wait.Milliseconds()))
	return err
}

// beginAgain: a BEGIN that waited for sqliteBegin waits again unless its context has ended.
func (d *sqlite) beginAgain(ctx context.Context, err error, took time.Duration) bool {
	_, bounded := ctx.Deadline()
	return bounded && ctx.Err() == nil && took >= sqliteBegin/2 && d.classify(err) == failedConflict
}

// sqliteFiles are the suffixes of the files that a connection has open, and what it means that one is not there any more.
var sqliteFiles = []struct{ suffix, lost string }{
	{"", "bring it back, and start the server again"},
	{sqliteWALSuffix, "what it held may be lost, start the server again"},
	{"-shm", "others do not see this server's locks, start the server again"},
}

// checkFiles fails if the database, its log, or the index of that, is not the file any more that a connection has open: somebody
// removed or replaced it. What is written then is gone when the last connection is closed, and another process could write
// what is there.
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
	var tables int
	err := db.QueryRowContext(ctx,
		"SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'").Scan(&tables)
	if err != nil || tables == 0 {
		return 0, err
	}
	var version sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	return version.Int64, err
}

// valueLimit: a row as a whole has at most 1e9 bytes, of which data and event_data are almost all.
func (*sqlite) valueLimit() ValueLimit {
	return ValueLimit{"half of SQLite's limit of a row", 500_000_000}
}

func (*sqlite) jsonDepth() int { return 999 }

func (*sqlite) classify(err error) failure {
	var e *sqlitedriver.Error
	if !errors.As(err, &e) {
		return failedUnavailable
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID,
		// An administrator's trigger that guards against INSERT OR REPLACE speaks before the unique index.
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

// elsewhere: a connection made while the file was read only remains so. One made later may write.
func (*sqlite) elsewhere(err error) bool {
	var e *sqlitedriver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_READONLY
}

// snapshot: the state at the first read, for as long as the transaction lasts (WAL).
func (*sqlite) snapshot() *sql.TxOptions { return &sql.TxOptions{ReadOnly: true} }

func (*sqlite) statements() *statements { return &sqliteStatements }

const (
	sqliteInsertMessage  = "INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	sqliteAdvanceChannel = "UPDATE Channels SET maxseq = ?, msgs = msgs + ?, bytes = bytes + ? WHERE id = ? AND maxseq = ?"
	sqliteChannelID      = "SELECT id, name FROM Channels WHERE name = ? AND deleted = FALSE"
	sqliteInsertChannel  = "INSERT INTO Channels (id, name) VALUES (?, ?)"
	sqliteSaveProgress   = `INSERT INTO SubsPending (subid, "row", seq, lastsent, pending, acks) VALUES (?, 0, 0, ?, ?, NULL) ON CONFLICT (subid, "row") DO UPDATE SET seq = 0, lastsent = excluded.lastsent, pending = excluded.pending, acks = NULL`
	sqliteHead           = "SELECT event_version FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND id = ? AND event_version > 0 ORDER BY event_version DESC LIMIT 1"
	sqliteVersion        = "SELECT 1 FROM Messages WHERE aggregate_id = ? AND aggregate_type = ? AND event_version = ? AND id = ?"
	sqliteEventByID      = "SELECT seq, data FROM Messages WHERE event_id = ? AND id = ?"
)

var sqliteStatements = statements{
	sharedStatements: newSharedStatements(asWritten),

	putServerInfo:   "INSERT INTO ServerInfo (uniquerow, id, proto, version) VALUES (1, ?, ?, ?) ON CONFLICT (uniquerow) DO UPDATE SET id = excluded.id, proto = excluded.proto, version = excluded.version",
	putClient:       "INSERT INTO Clients (id, hbinbox, proto) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET hbinbox = excluded.hbinbox, proto = excluded.proto",
	putRelay:        "INSERT INTO Relays (stream, position) VALUES (?, ?) ON CONFLICT (stream) DO UPDATE SET position = excluded.position",
	putSubscription: "INSERT INTO Subscriptions (id, subid, proto) VALUES (?, ?, ?) ON CONFLICT (id, subid) DO UPDATE SET proto = excluded.proto",

	more: []string{sqliteInsertMessage, sqliteAdvanceChannel, sqliteChannelID, sqliteInsertChannel, sqliteSaveProgress, sqliteHead, sqliteVersion, sqliteEventByID, sqlitePutConsumer, sqlitePutPart, sqliteDeletePart},
}

func (*sqlite) insertMessages(ctx context.Context, tx *transaction, rows []*row) error {
	// Rows go to a library, not over a wire: one statement for each costs no round trip.
	return tx.execEach(ctx, sqliteInsertMessage, len(rows), func(i int, args []any) []any { return rows[i].columns(args) })
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

func (*sqlite) heads(ctx context.Context, q querier, keys []aggregate, found func(int, uint64)) error {
	for i, key := range keys {
		err := q.query(ctx, sqliteHead, func(rows *sql.Rows) error {
			var version uint64
			err := rows.Scan(&version)
			found(i, version)
			return err
		}, key.id, key.typ, key.channel)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*sqlite) versions(ctx context.Context, q querier, keys []versionKey, found func(int)) error {
	for i, key := range keys {
		err := q.query(ctx, sqliteVersion, func(*sql.Rows) error {
			found(i)
			return nil
		}, key.aggregate.id, key.aggregate.typ, key.version, key.aggregate.channel)
		if err != nil {
			return err
		}
	}
	return nil
}

func (*sqlite) eventsByID(ctx context.Context, q querier, keys []eventKey, found func(int, uint64, []byte)) error {
	for i, key := range keys {
		err := q.query(ctx, sqliteEventByID, func(rows *sql.Rows) error {
			var sequence uint64
			var data []byte
			err := rows.Scan(&sequence, &data)
			found(i, sequence, data)
			return err
		}, key.id, key.channel)
		if err != nil {
			return err
		}
	}
	return nil
}
