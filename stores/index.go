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

// indexPrefix begins the names of the indexes that are made for Options.IndexEventData and IndexMetadata, and of no
// others: one that no option asks for any more is removed.
const indexPrefix = "eventstore_idx_"

// jsonIndex is one index that the options ask for.
type jsonIndex struct {
	column string   // "event_data" or "metadata"
	path   jsonPath // nil: the whole document
}

// wholeDocument stands for an index on the document as a whole, in place of a path.
const wholeDocument = "document"

// option is the name of the option that asks for the index, as the configuration has it.
func (x jsonIndex) option() string { return "index_" + x.column }

func (x jsonIndex) String() string {
	if x.path == nil {
		return x.column + " " + wholeDocument
	}
	return x.column + " " + x.path.String()
}

// name of the index. It tells paths apart that differ in letter case or in characters that a name can not have.
func (x jsonIndex) name() string {
	if x.path == nil {
		return indexPrefix + x.column + "_" + wholeDocument
	}
	return shorten(indexPrefix+x.column+"_"+strings.ToLower(x.path.slug()), maxIndexName-1-hashLength) + "_" + x.path.hash()
}

// maxIndexName is the length of an identifier on PostgreSQL; MySQL has one more.
const maxIndexName = 63

// field is the name of the column that shows the value at the path, on databases that need one: two paths must not have
// the same.
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

// indexes returns the indexes that the options ask for, or the error in one of them.
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
				return nil, fmt.Errorf("%s: %q: only PostgreSQL has an index for whole documents", x.option(), text)
			}
			field := strings.ToLower(x.field())
			if other, ok := fields[field]; ok && other.String() != x.String() {
				return nil, fmt.Errorf("%s: path %q: its column would have the name of that of %s", x.option(), text, other)
			} else if !ok {
				fields[field] = x
				all = append(all, x)
			}
		}
	}
	return all, nil
}

// Validate says what is wrong with the options, as far as that can be said without the database.
func (o Options) Validate() error {
	_, err := o.indexes()
	return err
}

// indexer is how a database makes indexes of JSON documents.
type indexer interface {
	// indexChanges compares what is there with what is wanted, and returns what is to be done, in this order.
	indexChanges(ctx context.Context, conn *sql.Conn, want []jsonIndex) ([]indexChange, error)
	// indexesBlock says that nothing else is written while an index is made.
	indexesBlock() bool
	// refusesDefinition says, of an error that classify knows nothing about, that a statement that defines something
	// would meet it again: a missing privilege, a function that this version does not have.
	refusesDefinition(err error) bool
}

// indexChange is one statement that changes indexes. If it was done half-way, the next plan finds that.
type indexChange struct {
	what string // for the log
	text string
	undo string // removes what a failure leaves behind
}

// IndexesBlock says whether ApplyIndexes keeps Append from its work while it makes an index, so that it should be called
// before messages come. That is so on SQLite, which has one writer. Elsewhere messages are stored meanwhile.
func (s *Store) IndexesBlock() bool { return s.dialect.indexesBlock() }

// indexTimeout is a statement's deadline: to build an index on a large table takes as long as it takes.
const indexTimeout = 7 * 24 * time.Hour

// ApplyIndexes makes the indexes that Options.IndexEventData and IndexMetadata ask for, and removes those that it made
// for former options. The lease must be held. What is there already costs one look at the catalog; an index that was
// interrupted half-way is made anew. With Options.NoMigrate it changes nothing and warns with the statements that an
// administrator must run.
//
// It tries again while the database is unavailable, until ctx ends, and returns ErrFenced when the lease is lost. Another
// error names the index that the database refuses; those after it are missing too.
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
			s.log.Warn("indexes are not made yet, retrying", "error", text)
			last = text
		}
		if !wait.sleep(ctx) {
			return unavailable(ctx, err)
		}
	}
}

// definitionFailure is classify for statements that define something.
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

// applyBeside makes indexes on a connection of its own, on which statements have no deadline, while others write.
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
		// The statement is a transaction of its own, or of several, in which nobody can prove the lease. So that is proved
		// before and after: who lost it in between does nothing more.
		if err := s.RenewLease(ctx); err != nil {
			return err
		}
		_, err := conn.ExecContext(ctx, change.text)
		if lost := s.RenewLease(ctx); lost != nil {
			return lost
		}
		if err != nil && change.undo != "" {
			_, _ = conn.ExecContext(ctx, change.undo) // what it leaves, the next plan finds
		}
		return err
	})
}

// applyInWriter makes indexes in transactions behind the fence, which tell a standby afterwards that we lived while it
// could not look.
func (s *Store) applyInWriter(ctx context.Context, want []jsonIndex) error {
	changes, err := s.planInWriter(ctx, want)
	if err != nil {
		return fmt.Errorf("read the indexes: %w", err)
	}
	return s.applyChanges(ctx, changes, func(change indexChange) error {
		return s.once(ctx, func(t *transaction) error {
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
			s.log.Warn("an administrator must run this for the indexes of the configuration", "change", change.what, "statement", change.text)
			continue
		}
		s.log.Info("changing indexes", "change", change.what)
		start := time.Now()
		if err := apply(change); err != nil {
			return fmt.Errorf("%s: %w", change.what, err)
		}
		s.log.Info("changed indexes", "change", change.what, "took", time.Since(start).Round(time.Millisecond))
	}
	if len(changes) > 0 && !s.options.NoMigrate {
		s.log.Info("indexes are those of the configuration")
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

// ours keeps the names that ApplyIndexes gave.
func ours(all []string) []string {
	return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, indexPrefix) })
}

// quoteText returns a string literal. Paths hold no backslash, whose meaning differs.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
