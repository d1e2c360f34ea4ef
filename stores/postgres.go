package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/lib/pq"

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// postgres is PostgreSQL or a compatible database. A batch is one INSERT of one row set, sent as one array per column.
// The text does not depend on the number of rows: the server parses it once, and no limit of parameters applies.
type postgres struct{}

var _ dialect = (*postgres)(nil)

func (*postgres) open(o Options) (write, read *sql.DB, err error) {
	return sqlconn.Postgres(o.pool(), o.writes(), o.reads())
}

func (p *postgres) check(ctx context.Context, write, read *sql.DB, log *slog.Logger) error {
	var fsync sql.NullString
	var encoding string
	if err := read.QueryRowContext(ctx, "SELECT current_setting('fsync', true), current_setting('server_encoding')").Scan(&fsync, &encoding); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	if encoding != "UTF8" {
		log.Warn("the database cannot store every character: events with others are refused (CREATE DATABASE … ENCODING 'UTF8' takes all)", "encoding", encoding)
	}
	if fsync.String == "off" {
		log.Warn("fsync is off on this PostgreSQL server: acknowledged messages are lost if its machine fails")
	}
	return p.checkPooler(ctx, write, read)
}

func (*postgres) version(ctx context.Context, db *sql.DB) (int64, error) {
	var exists bool
	err := db.QueryRowContext(ctx,
		"SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'goose_db_version')").Scan(&exists)
	if err != nil || !exists {
		return 0, err
	}
	var version sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	return version.Int64, err
}

// bytea holds more than jsonb.
func (*postgres) valueLimit() ValueLimit { return ValueLimit{"the limit of jsonb", 1<<28 - 1} }

func (*postgres) jsonDepth() int { return 1000 }

func (*postgres) classify(err error) failure {
	var e *pq.Error
	if !errors.As(err, &e) {
		return failedUnavailable
	}
	switch e.Code {
	case "23505": // unique_violation
		return failedUnique
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return failedConflict
	}
	switch e.Code.Class() {
	case "22", "23", "44", "54", "P0": // data, constraint, check option, program limit, an administrator's trigger
		return failedRefused
	}
	return failedUnavailable
}

func (*postgres) refusesWrites(err error) bool {
	var e *pq.Error
	return errors.As(err, &e) && e.Code == "25006" // read_only_sql_transaction: a standby, or a primary that became one
}

func (*postgres) snapshot() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (*postgres) statements() *statements { return &postgresStatements }

const (
	postgresInsertMessages = `INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain)
SELECT id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data::jsonb, metadata::jsonb, position, tags::jsonb, appender, chain
FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::integer[], $5::bytea[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::bigint[], $16::bytea[])
AS r (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain)`

	postgresInsertTags = "INSERT INTO EventTags (tag, position) SELECT tag, position FROM unnest($1::text[], $2::bigint[]) AS t (tag, position)"

	postgresAdvanceChannels = `UPDATE Channels SET maxseq = a.maxseq, msgs = Channels.msgs + a.msgs, bytes = Channels.bytes + a.bytes
FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) AS a (id, before, maxseq, msgs, bytes)
WHERE Channels.id = a.id AND Channels.maxseq = a.before`

	postgresChannelIDs     = "SELECT id, name FROM Channels WHERE name = ANY($1::text[]) AND deleted = FALSE ORDER BY id"
	postgresInsertChannels = "INSERT INTO Channels (id, name) SELECT id, name FROM unnest($1::integer[], $2::text[]) AS c (id, name)"

	postgresSaveProgress = `INSERT INTO SubsPending (subid, "row", seq, lastsent, pending, acks)
SELECT subid, 0, 0, lastsent, pending, NULL FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS p (subid, lastsent, pending)
ON CONFLICT (subid, "row") DO UPDATE SET seq = 0, lastsent = excluded.lastsent, pending = excluded.pending, acks = NULL`
)

var postgresStatements = statements{
	sharedStatements: newSharedStatements(numbered),
	queryStatements:  postgresQueries,

	putServerInfo:   "INSERT INTO ServerInfo (uniquerow, id, proto, version) VALUES (1, $1, $2, $3) ON CONFLICT (uniquerow) DO UPDATE SET id = excluded.id, proto = excluded.proto, version = excluded.version",
	putClient:       "INSERT INTO Clients (id, hbinbox, proto) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET hbinbox = excluded.hbinbox, proto = excluded.proto",
	putRelay:        "INSERT INTO Relays (stream, position) VALUES ($1, $2) ON CONFLICT (stream) DO UPDATE SET position = excluded.position",
	putWildcard:     "INSERT INTO Wildcards (consumer, pattern) VALUES ($1, $2) ON CONFLICT (consumer) DO UPDATE SET pattern = excluded.pattern",
	putSubscription: "INSERT INTO Subscriptions (id, subid, proto, client, name, kind) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id, subid) DO UPDATE SET proto = excluded.proto, client = excluded.client, name = excluded.name, kind = excluded.kind",
	putNamed:        "INSERT INTO NamedConsumers (consumer, channel, client, name, settings) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (consumer) DO UPDATE SET channel = excluded.channel, client = excluded.client, name = excluded.name, settings = excluded.settings",
	putCancelled:    "INSERT INTO CancelledDeliveries (id, seq) VALUES ($1, $2) ON CONFLICT (id, seq) DO NOTHING",
	putAudit:        "INSERT INTO AuditEntries (id, time, principal, address, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
	putErasure:      "INSERT INTO Erasures (id, requested, principal, reason, selector, state, events, copies, erased) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0) ON CONFLICT (id) DO NOTHING",

	more: []string{postgresInsertMessages, postgresAdvanceChannels, postgresWriteBatch, postgresWriteOne, postgresChannelIDs, postgresInsertChannels, postgresSaveProgress, postgresHeads, postgresVersions, postgresTagged, postgresEventsByID, postgresInsertTags, postgresPutConsumers, postgresPutParts, postgresDeleteParts, postgresPutCounts, postgresDeleteCounts, postgresPark, postgresUnpark, postgresParkedAt},
}

// maxArrays bounds the message bytes in one statement. The server limits a value to 1 GB.
const maxArrays = 256 << 20

func (*postgres) insertMessages(ctx context.Context, tx *transaction, rows []*row) error {
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && (n == 0 || size+len(rows[n].data) <= maxArrays) {
			size += len(rows[n].data)
			n++
		}
		if _, err := tx.exec(ctx, postgresInsertMessages, messageArrays(rows[:n], size)...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// messageArrays returns the columns of rows.
func messageArrays(rows []*row, size int) []any {
	n := len(rows)
	id, seq, timestamp, length := newArray(oidInt4, n, 4*n), newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n), newArray(oidInt4, n, 4*n)
	data := newArray(oidBytea, n, size)
	eventID, aggregateType, aggregateID := newArray(oidText, n, 36*n), newArray(oidText, n, 16*n), newArray(oidText, n, 36*n)
	version, eventType := newArray(oidInt8, n, 8*n), newArray(oidText, n, 24*n)
	document, metadata := newArray(oidText, n, size), newArray(oidText, n, 0)
	position, tags := newArray(oidInt8, n, 8*n), newArray(oidText, n, 0)
	appender := newArray(oidInt8, n, 8*n)
	link := newArray(oidBytea, n, chain.LinkSize*n)
	for _, r := range rows {
		id.int4(int32(r.channel.id))
		seq.int8(int64(r.sequence))
		timestamp.int8(r.timestamp)
		length.int4(int32(len(r.data)))
		data.bytes(r.data)
		appender.int8OrNull(r.appender)
		if r.event == nil {
			for _, column := range []*array{eventID, aggregateType, aggregateID, version, eventType, document, metadata, position, tags, link} {
				column.null()
			}
			continue
		}
		eventID.textOrNull(r.event.ID)
		aggregateType.text(r.event.AggregateType)
		aggregateID.text(r.event.AggregateID)
		version.int8(int64(r.version))
		eventType.text(r.event.Type)
		document.bytesOrNull(r.document)
		metadata.bytesOrNull(r.event.Metadata)
		position.int8(int64(r.position))
		tags.bytesOrNull(r.tags())
		link.bytesOrNull(r.link)
	}
	columns := make([]any, 0, rowColumns)
	for _, column := range []*array{id, seq, timestamp, length, data, eventID, aggregateType, aggregateID, version, eventType, document, metadata, position, tags, appender, link} {
		columns = append(columns, column.buf)
	}
	return columns
}

// tagArrays returns the columns of EventTags.
func tagArrays(tags []tag) []any {
	n := len(tags)
	text, position := newArray(oidText, n, 24*n), newArray(oidInt8, n, 8*n)
	for _, t := range tags {
		text.text(t.text)
		position.int8(int64(t.position))
	}
	return []any{text.buf, position.buf}
}

func (*postgres) insertTags(ctx context.Context, tx *transaction, tags []tag) error {
	_, err := tx.exec(ctx, postgresInsertTags, tagArrays(tags)...)
	return err
}

func (*postgres) advanceChannels(ctx context.Context, tx *transaction, advances []*advance) error {
	changed, err := tx.exec(ctx, postgresAdvanceChannels, advanceArrays(advances)...)
	if err != nil {
		return err
	}
	if changed != int64(len(advances)) {
		return errNotAdvanced
	}
	return nil
}

func advanceArrays(advances []*advance) []any {
	n := len(advances)
	id, before, last := newArray(oidInt4, n, 4*n), newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
	msgs, bytes := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n)
	for _, a := range advances {
		id.int4(int32(a.channel.id))
		before.int8(int64(a.before))
		last.int8(int64(a.last))
		msgs.int8(int64(a.msgs))
		bytes.int8(int64(a.bytes))
	}
	return []any{id.buf, before.buf, last.buf, msgs.buf, bytes.buf}
}

func (*postgres) channelIDs(ctx context.Context, q querier, names []string, found func(int64, string)) error {
	wanted := newArray(oidText, len(names), 32*len(names))
	for _, name := range names {
		wanted.text(name)
	}
	return q.query(ctx, postgresChannelIDs, scanChannelID(found), wanted.buf)
}

func (*postgres) insertChannels(ctx context.Context, tx *transaction, channels []*Channel) error {
	n := len(channels)
	id, name := newArray(oidInt4, n, 4*n), newArray(oidText, n, 32*n)
	for _, c := range channels {
		id.int4(int32(c.id))
		name.text(c.name)
	}
	_, err := tx.exec(ctx, postgresInsertChannels, id.buf, name.buf)
	return err
}

func (*postgres) saveProgress(ctx context.Context, tx *transaction, rows []progressRow) error {
	n := len(rows)
	subscription, last, pending := newArray(oidInt8, n, 8*n), newArray(oidInt8, n, 8*n), newArray(oidBytea, n, 64*n)
	for _, row := range rows {
		subscription.int8(int64(row.subscription))
		last.int8(int64(row.lastSent))
		pending.bytesOrNull(row.pending)
	}
	_, err := tx.exec(ctx, postgresSaveProgress, subscription.buf, last.buf, pending.buf)
	return err
}
