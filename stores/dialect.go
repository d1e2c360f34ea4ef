package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// failure is what an error of the database means for the work that met it. A dialect decides by SQLSTATE or error
// number, never by text.
type failure int

const (
	// failedUnavailable: the connection is lost, or the server can not work now. Whatever is not known otherwise is
	// this, since it says nothing about the data.
	failedUnavailable failure = iota
	// failedConflict: a serialization failure, deadlock or lock timeout. The transaction did not happen; try it again.
	failedConflict
	// failedUnique: a unique index refused a row.
	failedUnique
	// failedRefused: the database does not take this data, whoever sends it.
	failedRefused
)

// dialect is what differs between databases. Each implementation is one file of complete statements.
type dialect interface {
	indexer

	// open connects nothing yet: it checks the source and returns the handle of writes and that of reads, which are the
	// same for a database in memory. Errors do not contain the source's password.
	open(o Options) (write, read *sql.DB, err error)
	// check is run once per Open, on a connection: it learns about the server and warns about settings that lose data.
	check(ctx context.Context, db *sql.DB, log *slog.Logger) error
	// version returns the schema's version, 0 if there is none, without changing anything.
	version(ctx context.Context, db *sql.DB) (int64, error)
	// snapshot are the options of a transaction that sees one state of the whole database, and changes nothing.
	snapshot() *sql.TxOptions
	// statements returns the statements with a fixed text; all are prepared.
	statements() *statements
	// classify says what an error of the driver means; sqlconn.Lost has looked at it before.
	classify(err error) failure
	// elsewhere says whether an error means that this server does not take writes, so that another one may.
	elsewhere(err error) bool
	// valueLimit is the longest value of a column that the database takes, as check learned it.
	valueLimit() ValueLimit
	// jsonDepth is the deepest nesting of a JSON document that the database takes.
	jsonDepth() int

	// insertMessages inserts the rows of a batch.
	insertMessages(ctx context.Context, tx *transaction, rows []*row) error
	// advanceChannels sets the high-water sequence of channels and adds to their counters. The error is errNotAdvanced if
	// a channel has no row, or its row another high-water sequence than advance.before.
	advanceChannels(ctx context.Context, tx *transaction, advances []*advance) error
	// channelIDs calls found with each channel that has one of the names and is not deleted, by ascending ID.
	channelIDs(ctx context.Context, q querier, names []string, found func(id int64, name string)) error
	// insertChannels inserts the rows of new channels.
	insertChannels(ctx context.Context, tx *transaction, channels []*Channel) error
	// saveProgress upserts row 0 of each subscription in SubsPending.
	saveProgress(ctx context.Context, tx *transaction, rows []progressRow) error
	// savePositions upserts rows of Consumers, and upserts or deletes rows of ConsumersPending.
	savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts []partRow) error
	// heads calls found with the position and the highest version of each aggregate that has an event.
	heads(ctx context.Context, q querier, keys []aggregate, found func(i int, version uint64)) error
	// versions calls found with the position of each version that an event has.
	versions(ctx context.Context, q querier, keys []versionKey, found func(i int)) error
	// plainMessages is the text (id, from, to, limit) → seq, data, by seq, of messages without event columns, or of all
	// if the schema has no such columns yet.
	plainMessages(columns bool) string
	// lastEvent is the text (aggregate_id, aggregate_type, id) → seq of the event with the highest version.
	lastEvent() string
	// fillEvents writes the event columns of rows, but not of those that have them already.
	fillEvents(ctx context.Context, tx *transaction, rows []*row) error
	// hasTable says whether there is a table of that name, letter case aside.
	hasTable(ctx context.Context, q querier, name string) (bool, error)
	// eventsByID calls found with the position, the sequence and the encoded MsgProto of each event that is stored.
	eventsByID(ctx context.Context, q querier, keys []eventKey, found func(i int, sequence uint64, data []byte)) error
}

// ownReader is a dialect whose writer's pool is not for the reads that writing depends on.
type ownReader interface {
	// openOwn returns the pool of these reads: writer, or one that the store closes.
	openOwn(o Options, writer *sql.DB) (*sql.DB, error)
}

// batchWriter is a dialect that writes a batch in one round trip, in a transaction that commits itself.
type batchWriter interface {
	// openBatches returns the pool of the connection for batches: writer, or one that the store closes.
	openBatches(o Options, writer *sql.DB) (*sql.DB, error)
	// writeBatch does the fence, insertMessages, advanceChannels and COMMIT. It writes nothing in another epoch than the
	// lease's, nor if a channel is not where memory has it. The error is ErrFenced if the lease row is not ours or its epoch another, and errLongWay, nothing being
	// written, for a batch to write in a transaction of several statements.
	writeBatch(ctx context.Context, to *single, lease lease, rows []*row, advances []*advance) error
}

var (
	errLongWay = errors.New("not possible in one round trip")
	// errUnclear is errLongWay where the lease, or its epoch, may be what stops the text.
	errUnclear = fmt.Errorf("%w: refused for an unknown reason", errLongWay)
)

// querier reads: outside a transaction (reader) or in one (transaction).
type querier interface {
	// query calls scan for each row. Texts of statements() run as prepared statements, others as they are.
	query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error
}

// repeat returns n copies of a placeholder of a multi-row statement, separated by separator.
func repeat(placeholder, separator string, n int) string {
	text := make([]byte, 0, n*(len(placeholder)+len(separator)))
	for i := range n {
		if i > 0 {
			text = append(text, separator...)
		}
		text = append(text, placeholder...)
	}
	return string(text)
}

// columns appends the values of a row of Messages: id, seq, timestamp, size, data, event_id, aggregate_type,
// aggregate_id, event_version, event_type, event_data, metadata.
func (r *row) columns(args []any) []any {
	args = append(args, r.channel.id, r.sequence, r.timestamp, len(r.data), r.data)
	if r.event == nil {
		return append(args, nil, nil, nil, nil, nil, nil, nil)
	}
	return append(args,
		nullText(r.event.ID), r.event.AggregateType, r.event.AggregateID, r.version, r.event.Type,
		nullText(string(r.document)), nullText(string(r.event.Metadata)))
}

// nullText is NULL for the empty text: an event without event_id must not be the duplicate of another.
func nullText(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func nullBytes(data []byte) any {
	if data == nil {
		return nil
	}
	return data
}

// errNotAdvanced is what advanceChannels found of a channel, the row of which was not what memory knows.
var errNotAdvanced = errors.New("a channel has not the sequence that is known of it")

// noChannelRow refuses the rows of one channel; other channels go on.
func noChannelRow(c *Channel) error {
	return &txError{kind: failedRefused, err: fmt.Errorf("table Channels has no row with id %d, that of channel %q: %w", c.id, c.name, errCorrupt)}
}

// beginner is a dialect that has something to do before each BEGIN of a writer.
type beginner interface {
	beforeBegin(ctx context.Context, conn *sql.Conn) error
	// beginAgain reports whether a BEGIN that failed after some time has more time to wait for a lock.
	beginAgain(ctx context.Context, err error, took time.Duration) bool
}
