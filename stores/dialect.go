package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// failure classifies a database error by its consequence. A dialect decides by SQLSTATE or error number, never by text.
type failure int

const (
	// failedUnavailable: the connection is lost, or the server cannot work now. Unknown errors belong here, because
	// they say nothing about the data.
	failedUnavailable failure = iota
	// failedConflict: a serialization failure, deadlock or lock timeout. The transaction did not happen; try it again.
	failedConflict
	// failedUnique: a unique index refused a row.
	failedUnique
	// failedRefused: the database does not accept this data, no matter who sends it.
	failedRefused
)

// dialect is what differs between databases. Its implementations consist of complete statements.
type dialect interface {
	indexer

	// open checks the source and returns the pools for writes and for reads, which are the same for a database in
	// memory. It does not connect yet. Its errors do not contain the password in the source.
	open(o Options) (write, read *sql.DB, err error)
	// check runs once per Open, on connections of both pools. It inspects the server, and warns about settings that can lose
	// data. It returns an ErrSetup if the server cannot be used.
	check(ctx context.Context, write, read *sql.DB, log *slog.Logger) error
	// version returns the version of the schema, 0 if there is none. It changes nothing.
	version(ctx context.Context, db *sql.DB) (int64, error)
	// layout returns the text () → table, column, type, whether it is a view, of relations with our names, in lower case.
	layout() string
	// snapshot returns the options of a read-only transaction that sees one state of the whole database.
	snapshot() *sql.TxOptions
	// statements returns the statements whose text is fixed. The store prepares all of them.
	statements() *statements
	// classify says what an error of the driver means. The caller has already checked sqlconn.Lost.
	classify(err error) failure
	// refusesWrites reports whether err means that this server does not accept writes, so that another one may.
	refusesWrites(err error) bool
	// valueLimit returns the longest value that a column accepts, as check found it.
	valueLimit() ValueLimit
	// jsonDepth returns the deepest nesting of a JSON document that the database accepts.
	jsonDepth() int

	// insertMessages inserts the rows of a batch.
	insertMessages(ctx context.Context, tx *transaction, rows []*row) error
	// insertTags inserts the tags of the rows of a batch.
	insertTags(ctx context.Context, tx *transaction, tags []tag) error
	// advanceChannels sets the high-water sequence of channels and adds to their counters. It returns errNotAdvanced if
	// a channel has no row, or a high-water sequence other than advance.before.
	advanceChannels(ctx context.Context, tx *transaction, advances []*advance) error
	// channelIDs calls found for each channel that has one of the names and is not deleted, by ascending ID.
	channelIDs(ctx context.Context, q querier, names []string, found func(id int64, name string)) error
	// insertChannels inserts the rows of new channels.
	insertChannels(ctx context.Context, tx *transaction, channels []*Channel) error
	// saveProgress upserts row 0 of each subscription in SubsPending.
	saveProgress(ctx context.Context, tx *transaction, rows []progressRow) error
	// savePositions upserts rows of Consumers, and upserts or deletes rows of ConsumersPending and, for counts, of
	// ConsumersRedelivered.
	savePositions(ctx context.Context, tx *transaction, rows []positionRow, parts, counts []partRow) error
	// park upserts rows of Parked.
	park(ctx context.Context, tx *transaction, rows []ParkedMessage) error
	// unpark deletes rows of Parked.
	unpark(ctx context.Context, tx *transaction, rows []ParkedKey) error
	// parkedAt scans those of a consumer's parked messages that have one of the sequences, in any order, as statements.parked does.
	parkedAt(ctx context.Context, q querier, consumer uint64, seqs []uint64, scan func(*sql.Rows) error) error
	// heads calls found with the index in keys and the highest version of each aggregate that has events.
	heads(ctx context.Context, q querier, keys []aggregate, found func(i int, version uint64)) error
	// versions calls found with the index in keys of each version that an event has.
	versions(ctx context.Context, q querier, keys []versionKey, found func(i int)) error
	// tagged calls found with the index in keys of each tag that an event has there.
	tagged(ctx context.Context, q querier, keys []tagKey, found func(i int)) error
	// erasing returns the texts of erasures.
	erasing() erasing
	// plainMessages returns the text (id, from, to, limit) → seq, data, by seq, for messages without event columns, or
	// for all messages if the schema has no such columns yet.
	plainMessages(columns bool) string
	// lastEvent returns the text (aggregate_id, aggregate_type, id) → seq of the event with the highest version.
	lastEvent() string
	// fillPositions writes the positions of events that do not have them yet.
	fillPositions(ctx context.Context, tx *transaction, events []unnumbered) error
	// fillChain writes the links of events that have none yet.
	fillChain(ctx context.Context, tx *transaction, events []chained) error
	// fillEvents writes the event columns of rows that do not have them yet.
	fillEvents(ctx context.Context, tx *transaction, rows []*row) error
	// hasTable reports whether a table of that name exists, ignoring case.
	hasTable(ctx context.Context, q querier, name string) (bool, error)
	// eventsAt scans the rows at positions, in the order that the direction gives them, as queryStatements.events does.
	eventsAt(ctx context.Context, q querier, positions []uint64, d direction, scan func(*sql.Rows) error) error
	// metadataPositions returns the text (arg, from, to, limit) → position, in order, of events among which are all whose
	// metadata has this string as the value of the key, from an index, and arg.
	metadataPositions(x jsonIndex, key, value string, d direction) (text string, arg any)
	// eventsByID calls found with the index in keys of each event that is stored. The payload is the encoded MsgProto.
	eventsByID(ctx context.Context, q querier, keys []eventKey, found func(i int, e stored)) error
}

// ownReader is a dialect that needs a separate pool for the reads that writing depends on.
type ownReader interface {
	// openOwn returns that pool: writer, or one that the store closes.
	openOwn(o Options, writer *sql.DB) (*sql.DB, error)
}

// batchWriter is a dialect that writes a batch in one round trip, as a transaction that commits itself.
type batchWriter interface {
	// openBatches returns the pool for the batch connection: writer, or one that the store closes.
	openBatches(o Options, writer *sql.DB) (*sql.DB, error)
	// writeBatch does the work of the fence, insertMessages, advanceChannels and COMMIT. It writes nothing if the epoch
	// has ended, or if a channel or the order is not where memory has it. It returns errNeedsTransaction if the batch must go in a
	// transaction of several statements, which then finds out why.
	writeBatch(ctx context.Context, to *single, lease lease, p *plan) error
	// interrupter returns a function that ends what runs on the batch connection, which came from pool. It returns nil if the driver
	// has to.
	interrupter(ctx context.Context, conn *sql.Conn, pool *sql.DB) (func(), error)
}

var (
	errNeedsTransaction = errors.New("not possible in one round trip")
	// errMaybeFenced is errNeedsTransaction if the lease or its epoch may be the reason.
	errMaybeFenced = fmt.Errorf("%w: refused for an unknown reason", errNeedsTransaction)
)

// querier reads, outside a transaction (handle) or inside one (transaction).
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
// aggregate_id, event_version, event_type, event_data, metadata, position, tags, appender, chain.
func (r *row) columns(args []any) []any {
	args = append(args, r.channel.id, r.sequence, r.timestamp, len(r.data), r.data)
	if r.event == nil {
		return append(args, nil, nil, nil, nil, nil, nil, nil, nil, nil, nullNumber(r.appender), nil)
	}
	return append(args,
		nullText(r.event.ID), r.event.AggregateType, r.event.AggregateID, r.version, r.event.Type,
		nullText(string(r.document)), nullText(string(r.event.Metadata)), r.position, nullText(string(r.tags())), nullNumber(r.appender), nullBytes(r.link))
}

// rowColumns is the number of values of columns.
const rowColumns = 16

// filled returns those values of columns that make an event of a message.
func filled[T any](columns []T) []T {
	return append(columns[5:14:14], columns[15])
}

func nullNumber(n uint64) any {
	if n == 0 {
		return nil
	}
	return n
}

// nullText maps the empty text to NULL: an event without event_id is never a duplicate.
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

// errNotAdvanced means that the row of a channel is not what memory expects.
var errNotAdvanced = errors.New("a channel is not at the expected sequence")

// noChannelRow refuses the rows of one channel; other channels continue.
func noChannelRow(c *Channel) error {
	return &txError{kind: failedRefused, err: fmt.Errorf("table Channels has no row with id %d for channel %q: %w", c.id, c.name, errCorrupt)}
}

// beginPreparer is a dialect that must act before each BEGIN of a writer.
type beginPreparer interface {
	beforeBegin(ctx context.Context, conn *sql.Conn) error
	// retryBegin reports whether to repeat a BEGIN that failed after waiting for a lock.
	retryBegin(ctx context.Context, err error, took time.Duration) bool
}
