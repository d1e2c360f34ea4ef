package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// mysql is MySQL from 8.0.17 on, or MariaDB. Statements for many rows repeat a placeholder. The driver puts the values
// into the text, which takes one round trip and no prepared statement per number of rows. Only large batches of
// messages use a prepared statement, for a fixed number of rows: parsing their text would take the server longer than
// the round trips.
type mysql struct {
	mariaDB bool
	packet  int // max_allowed_packet
}

var _ dialect = (*mysql)(nil)

func (*mysql) open(o Options) (write, read *sql.DB, err error) {
	if write, err = sqlconn.MySQL(o.pool(), o.writes()-1, false); err != nil { // minus the batch connection
		return nil, nil, err
	}
	read, err = sqlconn.MySQL(o.pool(), o.reads(), false)
	return write, read, err
}

func (m *mysql) check(ctx context.Context, _, db *sql.DB, log *slog.Logger) error {
	var version string
	var flush int
	err := db.QueryRowContext(ctx, "SELECT VERSION(), @@innodb_flush_log_at_trx_commit, @@max_allowed_packet").
		Scan(&version, &flush, &m.packet)
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	m.mariaDB = strings.Contains(version, "MariaDB")
	if flush != 1 {
		log.Warn("the database server does not write each commit to disk: acknowledged messages are lost if its machine fails",
			"innodb_flush_log_at_trx_commit", flush)
	}
	return nil
}

func (*mysql) version(ctx context.Context, db *sql.DB) (int64, error) {
	var tables int
	err := db.QueryRowContext(ctx,
		"SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'goose_db_version'").Scan(&tables)
	if err != nil || tables == 0 {
		return 0, err
	}
	var version sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	return version.Int64, err
}

func (m *mysql) valueLimit() ValueLimit { return ValueLimit{"max_allowed_packet", int64(m.packet)} }

func (m *mysql) jsonDepth() int {
	if m.mariaDB {
		return 31
	}
	return 99
}

func (*mysql) classify(err error) failure {
	if errors.Is(err, mysqldriver.ErrPktTooLarge) {
		return failedRefused
	}
	var e *mysqldriver.MySQLError
	if !errors.As(err, &e) {
		return failedUnavailable
	}
	switch e.Number {
	case 1022, 1062, 1169, 1586: // duplicate key
		return failedUnique
	case 1020, 1205, 1213, 3101, 3572: // record changed, lock wait timeout, deadlock, certification, NOWAIT
		return failedConflict
	case 1118, 1153, 1265, 1300, 1301, 1366, 1411, // values, in other classes: too long, cut off, in another character set
		1649,                               // "unknown locale", which our triggers raise to keep events immutable
		3141, 3143, 3146, 3149, 3150, 3151, // JSON
		3819: // CHECK
		return failedRefused
	}
	switch string(e.SQLState[:2]) {
	case "22", "23", "44", "45": // data, constraint, check option, an administrator's trigger
		return failedRefused
	}
	return failedUnavailable
}

func (*mysql) refusesWrites(err error) bool {
	var e *mysqldriver.MySQLError
	// 1047: a Galera node outside the cluster. (The driver itself drops the connection to a read-only server.)
	return errors.As(err, &e) && e.Number == 1047
}

// InnoDB takes the snapshot at the first read.
func (*mysql) snapshot() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (*mysql) statements() *statements { return &mysqlStatements }

const (
	mysqlInsertMessages    = "INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain) VALUES "
	mysqlInsertMessagesRow = "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"

	mysqlInsertTags    = "INSERT INTO EventTags (tag, position) VALUES "
	mysqlInsertTagsRow = "(?,?)"

	mysqlAdvanceChannel = "UPDATE Channels SET maxseq = ?, msgs = msgs + ?, bytes = bytes + ? WHERE id = ? AND maxseq = ?"
	// The empty name belongs to no row. All rows exist, so the UPDATE always applies: MySQL has no other way to give
	// many rows different values.
	mysqlAdvanceChannels    = "INSERT INTO Channels (id, name, maxseq, msgs, bytes) VALUES "
	mysqlAdvanceChannelsRow = "(?,'',?,?,?)"
	mysqlAdvanceChannelsEnd = " ON DUPLICATE KEY UPDATE maxseq = VALUES(maxseq), msgs = msgs + VALUES(msgs), bytes = bytes + VALUES(bytes)"

	// Lock and check what the statement above overwrites.
	mysqlLockChannels    = "SELECT id, maxseq FROM Channels WHERE id IN ("
	mysqlLockChannelsEnd = ") FOR UPDATE"

	mysqlChannelIDs        = "SELECT id, name FROM Channels WHERE deleted = FALSE AND name IN ("
	mysqlChannelIDsEnd     = ") ORDER BY id"
	mysqlInsertChannels    = "INSERT INTO Channels (id, name) VALUES "
	mysqlInsertChannelsRow = "(?,?)"

	mysqlSaveProgress    = "INSERT INTO SubsPending (subid, `row`, seq, lastsent, pending, acks) VALUES "
	mysqlSaveProgressRow = "(?,0,0,?,?,NULL)"
	mysqlSaveProgressEnd = " ON DUPLICATE KEY UPDATE seq = 0, lastsent = VALUES(lastsent), pending = VALUES(pending), acks = NULL"
)

var mysqlStatements = statements{
	sharedStatements: newSharedStatements(asWritten),
	queryStatements:  mysqlQueries,

	putServerInfo:   "INSERT INTO ServerInfo (uniquerow, id, proto, version) VALUES (1, ?, ?, ?) ON DUPLICATE KEY UPDATE id = VALUES(id), proto = VALUES(proto), version = VALUES(version)",
	putClient:       "INSERT INTO Clients (id, hbinbox, proto) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE hbinbox = VALUES(hbinbox), proto = VALUES(proto)",
	putRelay:        "INSERT INTO Relays (stream, position) VALUES (?, ?) ON DUPLICATE KEY UPDATE position = VALUES(position)",
	putWildcard:     "INSERT INTO Wildcards (consumer, pattern) VALUES (?, ?) ON DUPLICATE KEY UPDATE pattern = VALUES(pattern)",
	putSubscription: "INSERT INTO Subscriptions (id, subid, proto, client, name, kind) VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE proto = VALUES(proto), client = VALUES(client), name = VALUES(name), kind = VALUES(kind)",
	putNamed:        "INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE channel = VALUES(channel), client = VALUES(client), name = VALUES(name), settings = VALUES(settings)",
	// ON DUPLICATE KEY UPDATE would fire the trigger that refuses updates.
	putCancelled: "INSERT IGNORE INTO CancelledDeliveries (id, seq) VALUES (?, ?)",
	putAudit:     "INSERT IGNORE INTO AuditEntries (id, time, principal, address, action, target, detail) VALUES (?, ?, ?, ?, ?, ?, ?)",
	putErasure:   "INSERT IGNORE INTO Erasures (id, requested, principal, reason, selector, state, events, copies, erased) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)",

	more: []string{mysqlAdvanceChannel, mysqlInsertChunk},
}

var mysqlInsertChunk = mysqlInsertMessages + repeat(mysqlInsertMessagesRow, ",", mysqlChunk)

const (
	// mysqlRows bounds the rows of a statement, far below the 65535 parameters that a prepared statement may have.
	mysqlRows = 2000
	// mysqlChunk is the number of rows of the prepared statement. Batches of mysqlTextRows or more rows use it.
	mysqlChunk, mysqlTextRows = 100, 256
	// mysqlKeys bounds the SELECTs of a look-up.
	mysqlKeys = 200
)

// mysqlSize returns an upper bound of a row's length in a text. Each byte may need an escape.
func mysqlSize(r *row) int {
	size := 700 + 2*(len(r.data)+len(r.document))
	if r.event != nil {
		size += 2 * (4*255 + len(r.event.Metadata))
		for _, text := range r.event.Tags {
			size += 2 * (2*len(text) + 16) // in the column and in EventTags
		}
	}
	return size
}

func (*mysql) insertTags(ctx context.Context, tx *transaction, tags []tag) error {
	for len(tags) > 0 {
		n := min(len(tags), mysqlRows)
		if _, err := tx.exec(ctx, mysqlInsertTags+repeat(mysqlInsertTagsRow, ",", n), tagArgs(nil, tags[:n])...); err != nil {
			return err
		}
		tags = tags[n:]
	}
	return nil
}

func tagArgs(args []any, tags []tag) []any {
	for _, t := range tags {
		args = append(args, t.text, t.position)
	}
	return args
}

func (m *mysql) insertMessages(ctx context.Context, tx *transaction, rows []*row) error {
	for _, r := range rows {
		// The server reports this at the end of a long value, with an error that does not name the cause.
		if n := max(len(r.data), len(r.document)); n > m.packet {
			return &txError{kind: failedRefused, err: fmt.Errorf("a column has %d bytes, but max_allowed_packet of the database is %d", n, m.packet)}
		}
	}
	for chunks := len(rows) >= mysqlTextRows; len(rows) > 0; {
		if chunks && len(rows) >= mysqlChunk {
			args := make([]any, 0, rowColumns*mysqlChunk)
			for _, r := range rows[:mysqlChunk] {
				args = r.columns(args)
			}
			if _, err := tx.exec(ctx, mysqlInsertChunk, args...); err != nil {
				return err
			}
			rows = rows[mysqlChunk:]
			continue
		}
		n, size := 0, 0
		for n < len(rows) {
			bytes := mysqlSize(rows[n]) // a row too long for one text gets its own statement, which the driver prepares
			if n > 0 && size+bytes > m.packet {
				break
			}
			size += bytes
			n++
		}
		args := make([]any, 0, rowColumns*n)
		for _, r := range rows[:n] {
			args = r.columns(args)
		}
		if _, err := tx.exec(ctx, mysqlInsertMessages+repeat(mysqlInsertMessagesRow, ",", n), args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func (*mysql) advanceChannels(ctx context.Context, tx *transaction, advances []*advance) error {
	if len(advances) == 1 {
		a := advances[0]
		changed, err := tx.exec(ctx, mysqlAdvanceChannel, a.last, a.msgs, a.bytes, a.channel.id, a.before)
		if err == nil && changed != 1 {
			err = errNotAdvanced
		}
		return err
	}
	for len(advances) > 0 {
		n := min(len(advances), mysqlRows)
		if err := mysqlCheckChannels(ctx, tx, advances[:n]); err != nil {
			return err
		}
		args := make([]any, 0, 4*n)
		for _, a := range advances[:n] {
			args = append(args, a.channel.id, a.last, a.msgs, a.bytes)
		}
		changed, err := tx.exec(ctx, mysqlAdvanceChannels+repeat(mysqlAdvanceChannelsRow, ",", n)+mysqlAdvanceChannelsEnd, args...)
		if err != nil {
			return err
		}
		if changed != int64(2*n) { // MySQL counts a changed row twice and an inserted one once
			return errNotAdvanced
		}
		advances = advances[n:]
	}
	return nil
}

// mysqlCheckChannels locks the rows of channels and compares them with memory.
func mysqlCheckChannels(ctx context.Context, tx *transaction, advances []*advance) error {
	known := make(map[int64]uint64, len(advances))
	ids := make([]any, len(advances))
	for i, a := range advances {
		ids[i], known[a.channel.id] = a.channel.id, a.before
	}
	same := 0
	err := tx.query(ctx, mysqlLockChannels+repeat("?", ",", len(ids))+mysqlLockChannelsEnd, func(rows *sql.Rows) error {
		var id int64
		var maxseq number
		err := rows.Scan(&id, &maxseq)
		if !maxseq.wrong && maxseq.n == known[id] {
			same++
		}
		return err
	}, ids...)
	if err == nil && same != len(advances) {
		err = errNotAdvanced
	}
	return err
}

func (*mysql) channelIDs(ctx context.Context, q querier, names []string, found func(int64, string)) error {
	for part := range slices.Chunk(names, mysqlKeys) {
		args := make([]any, len(part))
		for i, name := range part {
			args[i] = name
		}
		if err := q.query(ctx, mysqlChannelIDs+repeat("?", ",", len(part))+mysqlChannelIDsEnd, scanChannelID(found), args...); err != nil {
			return err
		}
	}
	return nil
}

func (*mysql) insertChannels(ctx context.Context, tx *transaction, channels []*Channel) error {
	for part := range slices.Chunk(channels, mysqlKeys) {
		args := make([]any, 0, 2*len(part))
		for _, c := range part {
			args = append(args, c.id, c.name)
		}
		if _, err := tx.exec(ctx, mysqlInsertChannels+repeat(mysqlInsertChannelsRow, ",", len(part)), args...); err != nil {
			return err
		}
	}
	return nil
}

func (m *mysql) saveProgress(ctx context.Context, tx *transaction, rows []progressRow) error {
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < mysqlRows {
			size += 100 + 2*len(rows[n].pending)
			if n > 0 && size > m.packet {
				break
			}
			n++
		}
		args := make([]any, 0, 3*n)
		for _, row := range rows[:n] {
			args = append(args, row.subscription, row.lastSent, nullBytes(row.pending))
		}
		if _, err := tx.exec(ctx, mysqlSaveProgress+repeat(mysqlSaveProgressRow, ",", n)+mysqlSaveProgressEnd, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}
