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
)

// openBatches returns a separate pool. Only its connections accept several statements in one text, and only writeBatch
// sends such texts.
func (*mysql) openBatches(o Options, _ *sql.DB) (*sql.DB, error) {
	return sqlconn.MySQL(o.pool(), 1, true)
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
	args := append(make([]any, 0, 5+rowColumns*len(rows)+2*len(tags)+7*len(advances)), lease.id, lease.epoch, p.before.given)
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
	text := mysqlBatchBegin + repeat("?", ",", len(advances)) + mysqlBatchChannels + mysqlInsertMessages + repeat(mysqlInsertMessagesRow, ",", len(rows)) + insertTags + repeat(mysqlBatchAdvance, "", len(advances)) + mysqlBatchCommit
	err := to.exec(ctx, text, args...)
	var e *mysqldriver.MySQLError
	// If max_allowed_packet was lowered, the driver may prepare the text, which fails for several statements (1064). A
	// value out of range (1264) may come from the lease row or a channel's row: the transaction of several statements
	// finds out.
	unclear := errors.As(err, &e) && (e.Number == 1064 || e.Number == 1264)
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
