package stores

import (
	"context"
	"database/sql"
	"errors"

	mysqldriver "github.com/go-sql-driver/mysql"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

var _ batchWriter = (*mysql)(nil)

const (
	// A batch in one text: mysqlBatchBegin, mysqlInsertMessages with its rows, mysqlInsertTags with its tags if there are any,
	// mysqlBatchAdvance for each channel, mysqlBatchCommit. The server stops at the first statement that fails, so a failed
	// check sets a column to a value that it does not accept. The lease row checks its holder, its epoch, the last position and that each channel has a row, since an
	// update would skip a missing one. Each channel checks that the lease row exists and that its own sequence is as
	// expected.
	mysqlBatchBegin    = "START TRANSACTION; UPDATE StoreLock SET tick = IF(id = ? AND epoch = ? AND position = ? AND (SELECT COUNT(*) FROM Channels WHERE id IN ("
	mysqlBatchChannels = ")) = ?, tick + 1, -1), position = ?; "
	mysqlBatchAdvance  = "; UPDATE Channels SET maxseq = IF((SELECT COUNT(*) FROM StoreLock WHERE id = ?) = 1 AND maxseq = ?, ?, -1), msgs = msgs + ?, bytes = bytes + ? WHERE id = ?"
	mysqlBatchCommit   = "; COMMIT"

	// A batch of one row without tags. Its rows of the lease and of the channel are checked to be there by one subquery: where that
	// finds nothing, the message has no channel, which its column does not accept. The columns after the first are those of
	// row.columns.
	mysqlWriteOne = "START TRANSACTION; UPDATE StoreLock SET tick = IF(id = ? AND epoch = ? AND position = ?, tick + 1, -1), position = ?" +
		"; UPDATE Channels SET maxseq = IF(maxseq = ?, ?, -1), msgs = msgs + 1, bytes = bytes + ? WHERE id = ?" +
		"; INSERT INTO Messages (id, seq, timestamp, size, data, event_id, aggregate_type, aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain)" +
		" VALUES ((SELECT Channels.id FROM StoreLock JOIN Channels WHERE StoreLock.id = ? AND Channels.id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?); COMMIT"
)

// openBatches returns a separate pool. Only its connections accept several statements in one text, and only writeBatch
// sends such texts.
func (*mysql) openBatches(o Options, _ *sql.DB) (*sql.DB, error) {
	return sqlconn.MySQL(o.pool(), 1, true)
}

// interrupter ends the connection, as the driver does when a context ends.
func (*mysql) interrupter(_ context.Context, conn *sql.Conn, _ *sql.DB) (interrupt func(), err error) {
	err = conn.Raw(func(bare any) error {
		if breaker, ok := bare.(sqlconn.Breaker); ok {
			interrupt = breaker.Break
		}
		return nil
	})
	return interrupt, err
}

func (m *mysql) writeBatch(ctx context.Context, to *single, lease lease, p *plan) error {
	rows, advances, tags := p.rows, p.advances, tagsOf(p.rows)
	size := 0
	for _, r := range rows {
		size += mysqlSize(r)
	}
	if len(rows) >= mysqlTextRows || len(advances) > mysqlKeys || size+512*(1+len(advances)) > m.packet {
		return errNeedsTransaction
	}
	write := mysqlWriteRows
	if len(rows) == 1 && len(tags) == 0 {
		write = mysqlWriteRow
	}
	text, args := write(lease, p, tags)
	err := to.exec(ctx, text, args...)
	var e *mysqldriver.MySQLError
	// If max_allowed_packet was lowered, the driver may prepare the text, which fails for several statements (1064). A
	// value out of range (1264) or NULL (1048) may come from the lease row or a channel's row: the transaction of several
	// statements finds out.
	unclear := errors.As(err, &e) && (e.Number == 1064 || e.Number == 1264 || e.Number == 1048)
	if err == nil || sqlconn.Lost(err) || m.classify(err) == failedUnavailable && !unclear {
		return err
	}
	if err := to.exec(ctx, "ROLLBACK"); err != nil {
		return err
	}
	if unclear {
		return errMaybeFenced
	}
	return err
}

// mysqlWriteRows returns the text of any batch.
func mysqlWriteRows(lease lease, p *plan, tags []tag) (text string, args []any) {
	rows, advances := p.rows, p.advances
	args = append(make([]any, 0, 5+rowColumns*len(rows)+2*len(tags)+7*len(advances)), lease.id, lease.epoch, p.before.given)
	for _, a := range advances {
		args = append(args, a.channel.id)
	}
	args = append(args, len(advances), p.end.given)
	for _, r := range rows {
		args = r.columns(args)
	}
	insertTags := ""
	if len(tags) > 0 {
		insertTags = "; " + mysqlInsertTags + repeat(mysqlInsertTagsRow, ",", len(tags))
		args = tagArgs(args, tags)
	}
	for _, a := range advances {
		args = append(args, lease.id, a.before, a.last, a.msgs, a.bytes, a.channel.id)
	}
	text = mysqlBatchBegin + repeat("?", ",", len(advances)) + mysqlBatchChannels + mysqlInsertMessages + repeat(mysqlInsertMessagesRow, ",", len(rows)) + insertTags + repeat(mysqlBatchAdvance, "", len(advances)) + mysqlBatchCommit
	return text, args
}

// mysqlWriteRow returns the text of a batch of one row without tags.
func mysqlWriteRow(lease lease, p *plan, _ []tag) (text string, args []any) {
	a := p.advances[0]
	args = append(make([]any, 0, 10+rowColumns), lease.id, lease.epoch, p.before.given, p.end.given, a.before, a.last, a.bytes, a.channel.id, lease.id)
	return mysqlWriteOne, p.rows[0].columns(args) // the first is the channel
}
