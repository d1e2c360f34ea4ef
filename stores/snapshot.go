package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// Snapshot is one state of the whole database, which does not change while a server continues to write.
type Snapshot struct {
	Driver    string // as in Options
	Schema    int64  // version of the schema, always the one this program knows
	JSONDepth int    // deepest nesting of a JSON document that the database accepts
	Triggers  error  // says which trigger does not run; nil if all do, or if this user cannot fire them

	tx       *sql.Tx
	prepared map[string]*sql.Stmt
}

// snapshotTimeout bounds a statement of a snapshot. It is long, because one statement may read all events.
const snapshotTimeout = 7 * 24 * time.Hour

// Snapshots are states of a database that this program only reads. Close ends them.
type Snapshots struct {
	driver   string
	dialect  dialect
	schema   int64
	triggers error
	pools    []*sql.DB
	reader   *sql.DB
}

// ReadSnapshot calls read with one state of the database. It takes no lease and writes nothing; on MySQL it fires the triggers, in
// a transaction that it rolls back. It treats an error of
// read as a failure to read the database, unless ctx has ended.
//
// The error is ErrUnavailable, ErrSetup, ErrTooNew, a *SchemaError, fs.ErrNotExist for a missing SQLite file, or the cause of
// ctx's end.
func ReadSnapshot(ctx context.Context, o Options, read func(context.Context, *Snapshot) error) error {
	s, err := OpenSnapshots(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Read(ctx, read)
}

// OpenSnapshots connects to a database. Its errors are those of ReadSnapshot.
func OpenSnapshots(ctx context.Context, o Options) (*Snapshots, error) {
	o = o.withDefaults()
	o.StatementTimeout, o.patient = snapshotTimeout, true
	d, err := newDialect(o)
	if err != nil {
		return nil, err
	}
	if o.Driver == "sqlite" {
		// SQLite would create it.
		if _, err := os.Stat(o.Source); err != nil {
			return nil, fmt.Errorf("open sqlite database: %w", err)
		}
	}
	writer, reader, err := d.open(o)
	if err != nil {
		return nil, openError(o, err)
	}
	s := &Snapshots{driver: o.Driver, dialect: d, reader: reader, pools: []*sql.DB{writer, reader}}
	if err := s.check(ctx, o, writer); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Snapshots) check(ctx context.Context, o Options, writer *sql.DB) error {
	err := s.dialect.check(ctx, writer, s.reader, o.Logger)
	if d, ok := s.dialect.(*sqlite); ok && err != nil && d.refusesWrites(err) {
		var copied *sql.DB
		if copied, err = d.openCopy(o); err == nil {
			s.reader, s.pools = copied, append(s.pools, copied)
		}
	}
	switch {
	case errors.Is(err, ErrSetup):
		return err
	case err != nil:
		return unavailable(ctx, err)
	}
	if s.schema, err = knownSchema(ctx, s.dialect, s.reader, o.Driver); err != nil {
		return err
	}
	switch err := checkLayout(ctx, s.dialect, o.Driver, &handle{db: s.reader, timeout: o.StatementTimeout, dialect: s.dialect}, s.schema); {
	case errors.Is(err, ErrSetup):
		return err
	case err != nil:
		return unavailable(ctx, err)
	}
	s.triggers = brokenTriggers(ctx, s.dialect, writer)
	return nil
}

// Read is ReadSnapshot on the open database.
func (s *Snapshots) Read(ctx context.Context, read func(context.Context, *Snapshot) error) error {
	tx, err := s.reader.BeginTx(ctx, s.dialect.snapshot())
	if err != nil {
		return unavailable(ctx, err)
	}
	defer tx.Rollback()
	err = read(ctx, &Snapshot{Driver: s.driver, Schema: s.schema, JSONDepth: s.dialect.jsonDepth(), Triggers: s.triggers, tx: tx, prepared: map[string]*sql.Stmt{}})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return unavailable(ctx, err)
}

// Close closes the connections.
func (s *Snapshots) Close() {
	for _, pool := range s.pools {
		_ = pool.Close() // nothing was written
	}
}

// knownSchema returns the version of the schema, or an error unless it is the one this program knows.
func knownSchema(ctx context.Context, d dialect, db *sql.DB, driver string) (int64, error) {
	found, err := readSchema(ctx, d, db, driver)
	switch {
	case err != nil:
		return 0, unavailable(ctx, err)
	case found.ahead():
		return 0, found.tooNew()
	case found.behind():
		return 0, found.behindError()
	}
	return found.version, nil
}

// Query calls scan for each row, and returns its error. A text with parameters usually runs many times, so Query
// prepares it; PostgreSQL would otherwise also send bytes as hexadecimal digits.
func (s *Snapshot) Query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	if len(args) > 0 && s.prepared[text] == nil {
		stmt, err := s.tx.PrepareContext(ctx, text) //nolint:sqlclosecheck // closed with its transaction
		if err != nil {
			return err
		}
		s.prepared[text] = stmt
	}
	var rows *sql.Rows
	var err error
	if stmt := s.prepared[text]; stmt != nil {
		rows, err = stmt.QueryContext(ctx, args...)
	} else {
		rows, err = s.tx.QueryContext(ctx, text, args...)
	}
	if err != nil {
		return err
	}
	return each(rows, scan)
}

// openCopy opens a file that nobody can change, since it or its directory is read-only.
func (d *sqlite) openCopy(o Options) (*sql.DB, error) {
	if info, err := os.Stat(d.path + sqliteWALSuffix); err == nil && info.Size() > 0 {
		return nil, fmt.Errorf("%w: %s has a log, %s, which can only be read where it can be written: copy both to another directory", ErrSetup, d.path, d.path+sqliteWALSuffix)
	}
	return sqlconn.SQLiteCopy(o.pool(), o.reads())
}
