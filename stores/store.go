// Package stores is the event store: it keeps channels, their messages and their subscriptions in a SQL database.
//
// One server at a time writes to a database. That server holds the lease, and each transaction first advances the lease
// row, which fails once another server holds it. The store therefore knows the last sequence of each channel and the
// last version of recently used aggregates without asking. The unique indexes of the database guard that knowledge.
//
// Messages reach the database in batches, each in one transaction; see Append for how one can fail. Memory advances
// only after COMMIT. If the answer to a COMMIT is lost, the store reads the outcome from the database and never guesses
// it.
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

	"github.com/nats-eventstore/nats-eventstore/stores/chain"
	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// Defaults of Options.
const (
	DefaultMaxOpenConns     = 10
	DefaultConnMaxLifetime  = 5 * time.Minute
	DefaultStatementTimeout = 30 * time.Second
	DefaultHeadBytes        = 32 << 20
)

// Options select a database and say how to use it. Zero values mean the defaults.
type Options struct {
	// Driver is "postgres", "mysql" (also MariaDB) or "sqlite".
	Driver string
	// Source is the data source name in the driver's syntax. On postgres it also takes readTimeout= and writeTimeout=,
	// the longest waits for the network, as durations ("5s"). On mysql it takes tls_ca=, a file of the authorities that
	// may have signed the server's certificate. On sqlite it is the path of a file, or ":memory:" for a database that
	// ends with the store.
	Source string
	// MaxOpenConns bounds the connections. A third of them, at least two and at most four, belong to the writer, so
	// that readers cannot delay a commit or the lease; the rest serve reads. On SQLite it bounds the connections that
	// read, and the writer has two more.
	MaxOpenConns int
	// ConnMaxLifetime is the age at which a connection is replaced.
	ConnMaxLifetime time.Duration
	// StatementTimeout is the deadline of each statement.
	StatementTimeout time.Duration
	// NoMigrate leaves the schema as it is: Open returns a *SchemaError if it is out of date.
	NoMigrate bool
	// NumberAll makes Recover look for events without positions everywhere, not only at the end of each channel, where an
	// older server leaves them. It reads all messages.
	NumberAll bool
	// Numbering, if set, is told how far Recover is with events that have no position. Otherwise the log is.
	Numbering func(Numbering)
	// IndexEventData and IndexMetadata are JSON paths, such as $.customer_id, in event_data and metadata. ApplyIndexes
	// creates an index on the values of each path. On PostgreSQL "document" stands for the whole document.
	IndexEventData, IndexMetadata []string
	// HeadBytes bounds the memory for the last versions of aggregates, about 250 bytes each.
	HeadBytes int64
	// Logger receives retries and warnings about the database's settings. nil discards them.
	Logger *slog.Logger
	// WrapConnector, if set, receives the connector of each connection pool and returns the one to use. It serves
	// tracing, metrics and fault injection.
	WrapConnector func(driver.Connector) driver.Connector

	// patient ignores the deadlines in Source, which are meant for statements that serve clients.
	patient bool
}

func (o Options) withDefaults() Options {
	if o.MaxOpenConns <= 0 {
		o.MaxOpenConns = DefaultMaxOpenConns
	}
	o.MaxOpenConns = max(o.MaxOpenConns, 3) // one each for the writer, its batches and a reader
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

// Connections returns the maximum number of connections.
func (o Options) Connections() int { return o.withDefaults().MaxOpenConns }

// writes returns the writer's share of the connections. A few suffice: writers queue at the lease row anyway.
func (o Options) writes() int { return min(max(2, o.MaxOpenConns/3), 4) }

// reads returns the number of connections that serve reads.
func (o Options) reads() int { return o.MaxOpenConns - o.writes() }

// pool returns the options that each connection pool is opened with.
func (o Options) pool() sqlconn.Options {
	return sqlconn.Options{
		Source:           o.Source,
		ConnMaxLifetime:  o.ConnMaxLifetime,
		StatementTimeout: o.StatementTimeout,
		Patient:          o.patient,
		WrapConnector:    o.WrapConnector,
	}
}

// Store is an open database. Only one goroutine may call Append; the other methods are safe for concurrent use.
type Store struct {
	dialect dialect
	text    *statements
	log     *slog.Logger
	timeout time.Duration // of each statement
	local   bool          // the database is in this process
	options Options

	writer *sql.DB
	reader *handle
	own    *handle // for the writer's own reads: no other reader takes its connections
	// prepared holds the writer's prepared statements by text. It is nil until the schema is current, and fixed after
	// Recover.
	prepared map[string]*sql.Stmt

	batches *single // nil unless the dialect is a batchWriter

	last         order         // guarded by mu; Position
	recentFrom   atomic.Uint64 // recent.from, for others; 0 while recent is nil
	recent       *recent       // the last events; nil until a condition asks for them; owned by the goroutine of Append
	heads        *headCache    // owned by the goroutine of Append
	hasher       *chain.Hasher // owned by the goroutine of Append
	appenders    appenderCache // owned by the goroutine of Append
	unresolved   []*Channel    // channels of commits with an unknown outcome; owned by the goroutine of Append
	told         string        // the last failure of a commit that the log tells, until one succeeds; owned by the goroutine of Append
	clockWarned  time.Time     // last warning of warnOfClock; owned by the goroutine of Append
	maybeDeleted []*Channel    // channels whose deletion has an unknown outcome; owned by the goroutine of Append

	closed   atomic.Bool
	indexed  atomic.Bool // the indexes that the options ask for are there
	creating sync.Mutex  // held while a channel is created, so that each name is created once

	mu         sync.RWMutex // guards the fields below
	lease      lease        // zero while this store holds none
	lossReason error        // why the lease was lost, if not to another server
	provedAt   time.Time    // see LeaseAge
	byName     map[string]*Channel
	channelID  int64 // highest ID assigned
	subID      uint64
	auditID    uint64
	erasureID  uint64
	progressed map[uint64]struct{} // subscriptions that have only row 0 in SubsPending
}

// Open connects to the database and creates the schema if the database is new. It leaves an older schema to the holder
// of the lease (see Recover), or returns a *SchemaError with NoMigrate. Open does not take the lease: call TryLease,
// then Recover. Its errors are one line and never contain the password in Source.
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
		return nil, openError(o, err)
	}
	if host := sqlconn.PlainHost(o.Driver, o.Source); host != "" {
		o.Logger.Warn("events may travel to the database in plain text: add sslmode=verify-full (PostgreSQL) or tls=true (MySQL, MariaDB) to -sql_source", "host", host)
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
		appenders:  newAppenderCache(),
		hasher:     chain.NewHasher(),
		byName:     map[string]*Channel{},
		progressed: map[uint64]struct{}{},
	}
	_, s.local = d.(*sqlite)
	if err := s.openWriters(o); err != nil {
		s.Close()
		return nil, openError(o, err)
	}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, openError(o, err)
	}
	return s, nil
}

// openWriters opens the pools that the dialect needs besides the writer's and the reader's.
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
	s.batches = &single{db: db, writer: w, lifetime: o.ConnMaxLifetime, timeout: o.StatementTimeout}
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
	return nil, fmt.Errorf("unknown SQL driver %q: must be one of postgres, mysql, sqlite", o.Driver)
}

func (s *Store) start(ctx context.Context) error {
	ping, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for _, db := range []*sql.DB{s.writer, s.own.db, s.reader.db} {
		if err := s.connect(ping, db); err != nil {
			return fmt.Errorf("connect: %w", err)
		}
	}
	if err := s.dialect.check(ctx, s.writer, s.reader.db, s.log); err != nil {
		return err
	}
	if err := checkWrites(ctx, s.dialect, s.writer); err != nil {
		return err
	}
	return s.migrateNew(ctx)
}

// connect makes a connection. SQLite's does not wait by itself while another process sets a new file up.
func (s *Store) connect(ctx context.Context, db *sql.DB) error {
	var wait backoff
	for {
		err := db.PingContext(ctx)
		if err == nil || s.classify(err) != failedConflict || !wait.sleep(ctx) {
			return err
		}
	}
}

// prepareAll prepares the statements of all pools, which the user must be allowed to run. The schema must be current.
func (s *Store) prepareAll(ctx context.Context) (err error) {
	version, err := s.dialect.version(ctx, s.writer)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if err := checkLayout(ctx, s.dialect, s.options.Driver, s.own, version); err != nil {
		return err
	}
	if s.prepared, err = prepareWrites(ctx, s.dialect, s.writer); err != nil {
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

// prepareWrites prepares the statements of the writer, after it has asked for the rights that preparing does not ask for.
func prepareWrites(ctx context.Context, d dialect, db *sql.DB) (map[string]*sql.Stmt, error) {
	if d, ok := d.(rightsChecker); ok {
		if err := d.checkRights(ctx, db); err != nil {
			return nil, err
		}
	}
	return prepare(ctx, db, d.statements().all())
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

// Close closes the connections. It does not release the lease. Later calls return ErrClosed. Close only logs the error
// of a connection that is already broken: everything stored is committed.
func (s *Store) Close() {
	if s.closed.Swap(true) {
		return
	}
	pools := []*sql.DB{s.writer, s.reader.db, s.own.db}
	if s.batches != nil {
		s.batches.close()
		pools = append(pools, s.batches.db)
	}
	for _, pool := range pools { // some may be the same; closing one twice is harmless
		if err := pool.Close(); err != nil {
			s.log.Warn("failed to close a database connection", "error", err)
		}
	}
	s.unlock()
}

// oneLine returns err with a text without line breaks.
func oneLine(err error) error {
	if !strings.ContainsAny(err.Error(), "\r\n") {
		return err
	}
	return &flattened{err: err}
}

type flattened struct{ err error }

func (f *flattened) Error() string { return strings.Join(strings.Fields(f.err.Error()), " ") }
func (f *flattened) Unwrap() error { return f.err }
