package stores

import (
	"context"
	"database/sql"
	"fmt"

	migrations "github.com/nats-eventstore/nats-eventstore/sql"
)

// migrateSQLite runs the missing migrations. The transaction that runs one locks the file, and looks first whether another
// server has run it meanwhile: a migration that came again, after later ones, could bring back what they have changed. The
// library of the other databases looks once, before all transactions, and has no lock for SQLite.
func migrateSQLite(ctx context.Context, db *sql.DB) error {
	files, err := migrations.Files("sqlite")
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := migrateSQLiteFile(ctx, db, file); err != nil {
			return fmt.Errorf("%s: %w", file.Path, err)
		}
	}
	return nil
}

func migrateSQLiteFile(ctx context.Context, db *sql.DB, file migrations.File) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	version, err := sqliteSchemaVersion(ctx, tx)
	if err != nil || version >= file.Version {
		return err
	}
	if _, err := tx.ExecContext(ctx, file.Text); err != nil {
		return err
	}
	return tx.Commit()
}

// sqliteSchemaVersion reads the version of the schema from a database or within a transaction.
func sqliteSchemaVersion(ctx context.Context, q interface {
	QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row
}) (int64, error) {
	var tables int
	err := q.QueryRowContext(ctx,
		"SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'").Scan(&tables)
	if err != nil || tables == 0 {
		return 0, err
	}
	var version sql.NullInt64
	err = q.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	return version.Int64, err
}
