package stores

import (
	"context"
	dbsql "database/sql"
	"fmt"

	"github.com/nats-eventstore/nats-eventstore/sql"
)

// schema is the schema of a database beside the one that this program knows.
type schema struct {
	version int64 // of the database; 0 if it has none
	known   int64 // by this program: that of its last migration
	files   []sql.File
}

func readSchema(ctx context.Context, d dialect, db *dbsql.DB, driver string) (schema, error) {
	files, err := sql.Files(driver)
	if err != nil {
		return schema{}, err
	}
	version, err := d.version(ctx, db)
	if err != nil {
		return schema{}, fmt.Errorf("read schema version: %w", err)
	}
	return schema{version, files[len(files)-1].Version, files}, nil
}

func (s schema) behind() bool { return s.version < s.known }
func (s schema) ahead() bool  { return s.version > s.known }

// missing returns the paths of the migrations that the database lacks, in order.
func (s schema) missing() []string {
	var paths []string
	for _, file := range s.files {
		if file.Version > s.version {
			paths = append(paths, file.Path)
		}
	}
	return paths
}

// behindError is the error of whoever needs the schema that this program knows.
func (s schema) behindError() error {
	return &SchemaError{Version: s.version, Needed: s.known, Files: s.missing()}
}

// tooNew is the error of whoever needs just the schema that this program knows.
func (s schema) tooNew() error {
	return fmt.Errorf("%w: it is at version %d, this program knows version %d: run a newer one", ErrTooNew, s.version, s.known)
}

// minVersion is the column of goose_db_version in which a migration names the lowest schema version that a program must know to
// go on. The first migration that removes something adds the column; until then all migrations only added.
const minVersion = "min_version"

// checkServable returns ErrTooNew if this program cannot serve a database whose schema is ahead: a migration has taken away what
// it needs. See docs/operate/releases.md.
func (s schema) checkServable(ctx context.Context, d dialect, q querier) error {
	found, err := readRelations(ctx, d, q)
	if err != nil {
		return err
	}
	if !found["goose_db_version"].has([]string{minVersion}) {
		return nil
	}
	var needs dbsql.NullInt64
	err = q.query(ctx, "SELECT MAX("+minVersion+") FROM goose_db_version", func(rows *dbsql.Rows) error { return rows.Scan(&needs) })
	switch {
	case err != nil:
		return fmt.Errorf("read the lowest schema version that programs must know: %w", err)
	case needs.Int64 > s.known:
		return fmt.Errorf("%w: it is at version %d and needs a server that knows version %d or later, this one knows version %d: start a newer server, or restore a backup from before the migration",
			ErrTooNew, s.version, needs.Int64, s.known)
	}
	return nil
}
