// Package stores keeps channels, their messages and subscriptions in a SQL database. It is the event store.
//
// One server at a time writes a database: it holds the lease, and each transaction that writes first advances the lease
// row where it is still ours. The store therefore knows the last sequence of each channel and the last version of
// recently used aggregates without asking, and the database's unique indexes are the guard behind that knowledge.
//
// Messages reach the database in batches, each one transaction; see Append for what can happen to one. What is in memory
// advances after COMMIT only, and what became of a COMMIT whose answer was lost is reread, never guessed.
package stores

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// Defaults of Options.
const (
	DefaultMaxOpenConns     = 10
	DefaultConnMaxLifetime  = 5 * time.Minute
	DefaultStatementTimeout = 30 * time.Second
	DefaultHeadBytes        = 32 << 20
)

// Options say which database, and how to use it. Zero values mean the defaults.
type Options struct {
	// Driver is "postgres", "mysql" (also MariaDB) or "sqlite".
	Driver string
	// Source is the DSN as the driver takes it. For postgres also with readTimeout= and writeTimeout=, the longest
	// waits for the network, as durations ("5s"). For sqlite the path of a file, or ":memory:" for a database that ends
	// with the store.
	Source string
	// MaxOpenConns bounds the connections: a third of them, at least two and at most four, are the writer's, so that no
	// reader keeps the lease or a commit waiting; the others are those of reads. On SQLite it bounds those of reads, and
	// the writer has two more.
	MaxOpenConns int
	// ConnMaxLifetime is the age at which a connection is replaced.
	ConnMaxLifetime time.Duration
	// StatementTimeout is the deadline of each statement.
	StatementTimeout time.Duration
	// NoMigrate leaves the schema as it is: Open returns a *SchemaError if it is behind.
	NoMigrate bool
	// IndexEventData and IndexMetadata are the JSON paths, such as $.customer_id, whose values ApplyIndexes gives an
	// index, in event_data and in metadata. On PostgreSQL "document" stands for the whole document.
	IndexEventData, IndexMetadata []string
	// HeadBytes bounds the memory for the last version of aggregates, some 250 bytes each.
	HeadBytes int64
	// Logger gets warnings about the database's settings, and retries. nil: none.
	Logger *slog.Logger
	// WrapConnector, if set, is given the connector of each pool of connections, and returns the one to use: for
	// tracing, metrics and tests of faults.
	WrapConnector func(driver.Connector) driver.Connector

	// patient: deadlines that the source sets do not count. They are those of statements that serve clients.
	patient bool
}

func (o Options) withDefaults() Options {
	if o.MaxOpenConns <= 0 {
		o.MaxOpenConns = DefaultMaxOpenConns
	}
	o.MaxOpenConns = max(o.MaxOpenConns, 3) // of a writer, of its batches, and of a reader
	if o.ConnMaxLifetime <= 0 {
		o.ConnMaxLifetime = DefaultConnMaxLifetime
	}
	if o.StatementTimeout <= 0 {
		o.StatementTimeout = DefaultStatementTimeout
	}
	if o.HeadBytes <= 0 {
		o.HeadBytes = DefaultHeadBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Connections returns the bound of the connections.
func (o Options) Connections() int { return o.withDefaults().MaxOpenConns }

// writes is how many connections are the writer's. Writers wait for each other in the database, at the lease's row.
func (o Options) writes() int { return min(max(2, o.MaxOpenConns/3), 4) }

// reads is how many connections are those of reads.
func (o Options) reads() int { return o.MaxOpenConns - o.writes() }

// pool says how each pool of connections is opened.
func (o Options) pool() sqlconn.Options {
	return sqlconn.Options{
		Source:           o.Source,
		ConnMaxLifetime:  o.ConnMaxLifetime,
		StatementTimeout: o.StatementTimeout,
		Patient:          o.patient,
		WrapConnector:    o.WrapConnector,
	}
}

// Store is an open database. Append is called by one goroutine, the other methods by any.
type Store struct {
	dialect dialect
	text    *statements
	log     *slog.Logger
	timeout time.Duration // of each statement
	options Options

	writer *sql.DB
	reader *handle
	own    *handle // of what writing depends on: no reader takes its connections
	// prepared statements of writer, by text; nil until the schema is that of this program; not changed after Recover
	prepared map[string]*sql.Stmt

	batches *single // of a dialect that is a batchWriter

	heads       *headCache // used by the goroutine of Append
	doubt       []*Channel // of commits with an unknown outcome; used by the goroutine of Append
	clockWarned time.Time  // of warnOfClock; used by the goroutine of Append
	dying       []*Channel // whose deletion has one; used by the goroutine of Append

	closed   atomic.Bool
	creating sync.Mutex // held while a channel is created, so that a name is created once

	mu         sync.RWMutex // guards what follows
	lease      lease        // zero while we hold none
	lost       error        // why there is none, if it is not known to be another's
	provedAt   time.Time    // see LeaseAge
	byName     map[string]*Channel
	channelID  int64 // highest that was given
	subID      uint64
	progressed map[uint64]struct{} // subscriptions of which SubsPending holds row 0 only
}

// Open connects, and makes the schema of a new database. An older schema is left to the holder of the lease, see Recover, or is
// an error with NoMigrate. It does not take the lease: call TryLease, then Recover. The errors are one line and do not contain the password of the source.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	d, err := newDialect(o)
	if err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	writer, reader, err := d.open(o)
	if err != nil {
		return nil, fmt.Errorf("open %s database: %w", o.Driver, oneLine(err))
	}
	s := &Store{
		dialect:    d,
		text:       d.statements(),
		log:        o.Logger,
		timeout:    o.StatementTimeout,
		options:    o,
		writer:     writer,
		reader:     &handle{db: reader, timeout: o.StatementTimeout, dialect: d},
		own:        &handle{db: writer, timeout: o.StatementTimeout, dialect: d},
		heads:      newHeadCache(o.HeadBytes),
		byName:     map[string]*Channel{},
		progressed: map[uint64]struct{}{},
	}
	if err := s.openWriters(o); err != nil {
		s.Close()
		return nil, fmt.Errorf("open %s database: %w", o.Driver, oneLine(err))
	}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open %s database: %w", o.Driver, oneLine(err))
	}
	return s, nil
}

// openWriters opens the pools that a dialect has beside the writer's.
func (s *Store) openWriters(o Options) error {
	if d, ok := s.dialect.(ownReader); ok {
		db, err := d.openOwn(o, s.writer)
		if err != nil {
			return err
		}
		s.own.db = db
	}
	w, ok := s.dialect.(batchWriter)
	if !ok {
		return nil
	}
	db, err := w.openBatches(o, s.writer)
	if err != nil {
		return err
	}
	s.batches = &single{db: db, lifetime: o.ConnMaxLifetime, timeout: o.StatementTimeout}
	return nil
}

func newDialect(o Options) (dialect, error) {
	switch o.Driver {
	case "postgres":
		return &postgres{}, nil
	case "mysql":
		return &mysql{}, nil
	case "sqlite":
		return &sqlite{}, nil
	}
	return nil, fmt.Errorf("unknown SQL driver %q: it is none of postgres, mysql, sqlite", o.Driver)
}

func (s *Store) start(ctx context.Context) error {
	ping, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.writer.PingContext(ping); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := s.own.db.PingContext(ping); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := s.dialect.check(ctx, s.writer, s.log); err != nil {
		return err
	}
	return s.migrateNew(ctx)
}

// prepareAll prepares the statements of all pools, which needs the schema of this program.
func (s *Store) prepareAll(ctx context.Context) (err error) {
	if s.prepared, err = prepare(ctx, s.writer, s.text.all()); err != nil {
		return err
	}
	for _, h := range []*handle{s.reader, s.own} {
		if h.prepared = s.prepared; h.db == s.writer {
			continue
		}
		if h.prepared, err = prepare(ctx, h.db, s.text.all()); err != nil {
			return err
		}
	}
	return nil
}

func prepare(ctx context.Context, db *sql.DB, texts []string) (map[string]*sql.Stmt, error) {
	prepared := make(map[string]*sql.Stmt, len(texts))
	for _, text := range texts {
		stmt, err := db.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with its pool
		if err != nil {
			return nil, fmt.Errorf("prepare %q: %w", text, err)
		}
		prepared[text] = stmt
	}
	return prepared, nil
}

// Close ends the connections. It does not release the lease. Methods called later return ErrClosed. That a connection does
// not end well, such as one that is broken already, is logged: whatever was stored is committed.
func (s *Store) Close() {
	if s.closed.Swap(true) {
		return
	}
	pools := []*sql.DB{s.writer, s.reader.db, s.own.db}
	if s.batches != nil {
		s.batches.close()
		pools = append(pools, s.batches.db)
	}
	for _, pool := range pools { // some may be the same, and closing one again does nothing
		if err := pool.Close(); err != nil {
			s.log.Warn("closing a database connection", "error", err)
		}
	}
	s.unlock()
}

// oneLine returns err, with a text that has no line breaks.
func oneLine(err error) error {
	if !strings.ContainsAny(err.Error(), "\r\n") {
		return err
	}
	return &flattened{err: err}
}

type flattened struct{ err error }

func (f *flattened) Error() string { return strings.Join(strings.Fields(f.err.Error()), " ") }
func (f *flattened) Unwrap() error { return f.err }
