package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-eventstore/nats-eventstore/stores/sqlconn"
)

// indexPrefix begins the names of all indexes for Options.IndexEventData and IndexMetadata, and no others. An index
// with this prefix that no option asks for is removed.
const indexPrefix = "eventstore_idx_"

// jsonIndex is one index that the options ask for.
type jsonIndex struct {
	column string   // "event_data" or "metadata"
	path   jsonPath // nil for the whole document
}

// wholeDocument asks for an index on the whole document, in place of a path.
const wholeDocument = "document"

// option returns the name of the option that asks for the index, as in the configuration.
func (x jsonIndex) option() string { return "index_" + x.column }

func (x jsonIndex) String() string {
	if x.path == nil {
		return x.column + " " + wholeDocument
	}
	return x.column + " " + x.path.String()
}

// name returns the name of the index. It distinguishes paths that differ in case or in characters that a name cannot
// contain.
func (x jsonIndex) name() string {
	if x.path == nil {
		return indexPrefix + x.column + "_" + wholeDocument
	}
	return shorten(indexPrefix+x.column+"_"+strings.ToLower(x.path.slug()), maxIndexName-1-hashLength) + "_" + x.path.hash()
}

// maxIndexName is the length of an identifier on PostgreSQL; MySQL allows one more.
const maxIndexName = 63

// field returns the name of the column that shows the value at the path, on databases that need one. Two paths must not
// share it.
func (x jsonIndex) field() string {
	if x.path == nil {
		return x.column
	}
	if slug := x.path.slug(); x.path.plain() && len(x.column)+1+len(slug) <= maxIndexName {
		return x.column + "_" + slug
	}
	return shorten(x.column+"_"+x.path.slug(), maxIndexName-1-hashLength) + "_" + x.path.hash()
}

func shorten(name string, length int) string { return name[:min(len(name), length)] }

// indexes returns the indexes that the options ask for, or the first invalid option.
func (o Options) indexes() ([]jsonIndex, error) {
	var all []jsonIndex
	fields := map[string]jsonIndex{}
	for _, list := range []struct {
		column string
		paths  []string
	}{{"event_data", o.IndexEventData}, {"metadata", o.IndexMetadata}} {
		for _, text := range list.paths {
			x := jsonIndex{column: list.column}
			if text != wholeDocument {
				var err error
				if x.path, err = parseJSONPath(text); err != nil {
					return nil, fmt.Errorf("%s: path %q: %w", x.option(), text, err)
				}
			} else if o.Driver != "postgres" {
				return nil, fmt.Errorf("%s: %q: only PostgreSQL can index whole documents", x.option(), text)
			}
			field := strings.ToLower(x.field())
			if other, ok := fields[field]; ok && other.String() != x.String() {
				return nil, fmt.Errorf("%s: path %q: its column has the same name as that of %s", x.option(), text, other)
			} else if !ok {
				fields[field] = x
				all = append(all, x)
			}
		}
	}
	return all, nil
}

// Validate checks the options, as far as possible without the database.
func (o Options) Validate() error {
	_, err := o.indexes()
	return err
}

// indexer is how a database indexes JSON documents.
type indexer interface {
	// indexChanges compares the existing indexes with the wanted ones, and returns the changes to make, in order.
	indexChanges(ctx context.Context, conn *sql.Conn, want []jsonIndex) ([]indexChange, error)
	// indexesBlock reports whether building an index blocks other writes.
	indexesBlock() bool
	// refusesDefinition reports whether a definition statement would fail again with err, which classify does not know:
	// a missing privilege, or a function that this version lacks.
	refusesDefinition(err error) bool
}

// indexChange is one statement that changes indexes. If it stops halfway, the next plan notices.
type indexChange struct {
	what string // for the log
	text string
	undo string // removes what a failure leaves behind
}

// IndexesBlock reports whether ApplyIndexes blocks Append while it builds an index, so that the server should call it
// before messages arrive. That is so on SQLite, which has one writer. Other databases store messages meanwhile.
func (s *Store) IndexesBlock() bool { return s.dialect.indexesBlock() }

// indexTimeout is the deadline of a statement. Building an index on a large table takes a long time.
const indexTimeout = 7 * 24 * time.Hour

// ApplyIndexes creates the indexes that Options.IndexEventData and IndexMetadata ask for, and removes those that it
// created for former options. The store must hold the lease. An existing index costs one look at the catalog; an
// interrupted one is built again. With Options.NoMigrate it changes nothing, and logs the statements that an
// administrator must run.
//
// It retries while the database is unavailable, until ctx ends, and returns ErrFenced if the lease is lost. Any other
// error names the index that the database refuses; the ones after it are missing too.
func (s *Store) ApplyIndexes(ctx context.Context) error {
	want, err := s.options.indexes()
	if err != nil {
		return err
	}
	var wait backoff
	for last := ""; ; {
		if s.dialect.indexesBlock() {
			err = s.applyInWriter(ctx, want)
		} else {
			err = s.applyBeside(ctx, want)
		}
		if err == nil || isOurs(err) {
			return err
		}
		if kind := s.definitionFailure(err); kind == failedRefused || kind == failedUnique {
			return fmt.Errorf("the database refused it: %w", oneLine(err))
		}
		if text := oneLine(err).Error(); text != last && ctx.Err() == nil {
			s.log.Warn("failed to create the indexes, retrying", "error", text)
			last = text
		}
		if !wait.sleep(ctx) {
			return unavailable(ctx, err)
		}
	}
}

// definitionFailure classifies errors of statements that define something.
func (s *Store) definitionFailure(err error) failure {
	var failed *txError
	if errors.As(err, &failed) {
		err = failed.err
	}
	kind := s.classify(err)
	if kind == failedUnavailable && !sqlconn.Lost(err) && s.dialect.refusesDefinition(err) {
		return failedRefused
	}
	return kind
}

// applyBeside builds indexes while others write, on a separate connection whose statements have no deadline.
func (s *Store) applyBeside(ctx context.Context, want []jsonIndex) error {
	o := s.options
	o.StatementTimeout, o.patient = indexTimeout, true
	db, read, err := s.dialect.open(o)
	if err != nil {
		return err
	}
	defer db.Close()
	defer read.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	changes, err := s.dialect.indexChanges(ctx, conn, want)
	if err != nil {
		return fmt.Errorf("read the indexes: %w", err)
	}
	return s.applyChanges(ctx, changes, func(change indexChange) error {
		// The statement is its own transaction, or several, in which nothing can prove the lease. The lease is proved
		// before and after: a server that lost it in between does nothing more.
		if err := s.RenewLease(ctx); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, change.text)
		if lost := s.RenewLease(ctx); lost != nil {
			return lost
		}
		if err != nil && change.undo != "" {
			_, _ = conn.ExecContext(ctx, change.undo) // the next plan finds what this leaves behind
		}
		return err
	})
}

// applyInWriter builds indexes in transactions behind the fence. Their commits tell a standby that this server is
// alive.
func (s *Store) applyInWriter(ctx context.Context, want []jsonIndex) error {
	changes, err := s.planInWriter(ctx, want)
	if err != nil {
		return fmt.Errorf("read the indexes: %w", err)
	}
	return s.applyChanges(ctx, changes, func(change indexChange) error {
		return s.writeOnce(ctx, func(t *transaction) error {
			_, err := t.tx.ExecContext(ctx, change.text)
			return err
		})
	})
}

func (s *Store) planInWriter(ctx context.Context, want []jsonIndex) ([]indexChange, error) {
	conn, err := s.connection(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return s.dialect.indexChanges(ctx, conn, want)
}

func (s *Store) applyChanges(ctx context.Context, changes []indexChange, apply func(indexChange) error) error {
	for _, change := range changes {
		if s.options.NoMigrate {
			s.log.Warn("an administrator must run this statement to index what the configuration asks for", "change", change.what, "statement", change.text)
			continue
		}
		s.log.Info("changing indexes", "change", change.what)
		start := time.Now()
		if err := apply(change); err != nil {
			return fmt.Errorf("%s: %w", change.what, err)
		}
		s.log.Info("changed indexes", "change", change.what, "took", time.Since(start).Round(time.Millisecond))
	}
	s.indexed.Store(len(changes) == 0 || !s.options.NoMigrate)
	if len(changes) > 0 && !s.options.NoMigrate {
		s.log.Info("the indexes match the configuration")
	}
	return nil
}

// names returns the first column of a query's rows.
func names(ctx context.Context, conn *sql.Conn, text string) (found []string, err error) {
	rows, err := conn.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		found = append(found, name)
		return err
	})
	return found, err
}

// ours returns the names that ApplyIndexes gave.
func ours(all []string) []string {
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, indexPrefix) })
}

// quoteText returns a string literal. Paths contain no backslash, whose meaning differs between databases.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
