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

// ReadSnapshot calls read with one state of the database. It takes no lease and writes nothing; on MySQL it fires the triggers, in
// a transaction that it rolls back. It treats an error of
// read as a failure to read the database, unless ctx has ended.
//
// The error is ErrUnavailable, ErrSetup, ErrTooNew, a *SchemaError, fs.ErrNotExist for a missing SQLite file, or the cause of
// ctx's end.
func ReadSnapshot(ctx context.Context, o Options, read func(context.Context, *Snapshot) error) error {
	o = o.withDefaults()
	o.StatementTimeout, o.patient = snapshotTimeout, true
	d, err := newDialect(o)
	if err != nil {
		return err
	}
	if o.Driver == "sqlite" {
		// SQLite would create it.
		if _, err := os.Stat(o.Source); err != nil {
			return fmt.Errorf("open sqlite database: %w", err)
		}
	}
	writer, reader, err := d.open(o)
	if err != nil {
		return openError(o, err)
	}
	defer writer.Close()
	defer reader.Close()
	err = d.check(ctx, writer, reader, o.Logger)
	if d, ok := d.(*sqlite); ok && err != nil && d.refusesWrites(err) {
		var copied *sql.DB
		if copied, err = d.openCopy(o); err == nil {
			defer copied.Close()
			reader = copied
		}
	}
	switch {
	case errors.Is(err, ErrSetup):
		return err
	case err != nil:
		return unavailable(ctx, err)
	}
	version, err := knownSchema(ctx, d, reader, o.Driver)
	if err != nil {
		return err
	}
	switch err := checkLayout(ctx, d, o.Driver, &handle{db: reader, timeout: o.StatementTimeout, dialect: d}, version); {
	case errors.Is(err, ErrSetup):
		return err
	case err != nil:
		return unavailable(ctx, err)
	}
	triggers := brokenTriggers(ctx, d, writer)
	tx, err := reader.BeginTx(ctx, d.snapshot())
	if err != nil {
		return unavailable(ctx, err)
	}
	defer tx.Rollback()
	err = read(ctx, &Snapshot{Driver: o.Driver, Schema: version, JSONDepth: d.jsonDepth(), Triggers: triggers, tx: tx, prepared: map[string]*sql.Stmt{}})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return unavailable(ctx, err)
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
