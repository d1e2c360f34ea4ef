package eventstore

import (
	"context"
	"database/sql"
	"fmt"
)

// Dialect is the SQL dialect of a database that holds a projection, checkpoints or snapshots. It may differ from the
// event store's.
type Dialect int

// Supported dialects.
const (
	PostgreSQL Dialect = iota + 1
	MySQL              // also MariaDB
	SQLite
)

// ParseDialect returns the dialect of a database/sql driver: "postgres", "pgx", "mysql", "sqlite", "sqlite3".
func ParseDialect(driver string) (Dialect, error) {
	switch driver {
	case "postgres", "pgx":
		return PostgreSQL, nil
	case "mysql":
		return MySQL, nil
	case "sqlite", "sqlite3":
		return SQLite, nil
	}
	return 0, fmt.Errorf("eventstore: unknown driver %q: must be postgres, pgx, mysql, sqlite or sqlite3", driver)
}

// texts are the statements of a dialect: (parameters) → result.
type texts struct {
	createReactions string
	reaction        string // (reactor, channel, sequence) → 1
	putReaction     string // (reactor, channel, sequence)
	forgetReactions string // (reactor, channel, sequence): those below the sequence

}

func (d Dialect) texts() *texts {
	switch d {
	case PostgreSQL:
		return &postgresTexts
	case MySQL:
		return &mysqlTexts
	case SQLite:
		return &sqliteTexts
	}
	panic("eventstore: Dialect is not set")
}

var postgresTexts = texts{
	createReactions: "CREATE TABLE IF NOT EXISTS eventstore_reactions (reactor VARCHAR(255), channel VARCHAR(255), sequence BIGINT, PRIMARY KEY (reactor, channel, sequence))",
	reaction:        "SELECT 1 FROM eventstore_reactions WHERE reactor = $1 AND channel = $2 AND sequence = $3",
	putReaction:     "INSERT INTO eventstore_reactions (reactor, channel, sequence) VALUES ($1, $2, $3) ON CONFLICT (reactor, channel, sequence) DO NOTHING",
	forgetReactions: "DELETE FROM eventstore_reactions WHERE reactor = $1 AND channel = $2 AND sequence < $3",
}

// VARBINARY columns compare names byte by byte, as the server does.
var mysqlTexts = texts{
	createReactions: "CREATE TABLE IF NOT EXISTS eventstore_reactions (reactor VARBINARY(255), channel VARBINARY(255), sequence BIGINT, PRIMARY KEY (reactor, channel, sequence))",
	reaction:        "SELECT 1 FROM eventstore_reactions WHERE reactor = ? AND channel = ? AND sequence = ?",
	putReaction:     "INSERT IGNORE INTO eventstore_reactions (reactor, channel, sequence) VALUES (?, ?, ?)",
	forgetReactions: "DELETE FROM eventstore_reactions WHERE reactor = ? AND channel = ? AND sequence < ?",
}

var sqliteTexts = texts{
	createReactions: "CREATE TABLE IF NOT EXISTS eventstore_reactions (reactor TEXT, channel TEXT, sequence INTEGER, PRIMARY KEY (reactor, channel, sequence))",
	reaction:        "SELECT 1 FROM eventstore_reactions WHERE reactor = ? AND channel = ? AND sequence = ?",
	putReaction:     "INSERT INTO eventstore_reactions (reactor, channel, sequence) VALUES (?, ?, ?) ON CONFLICT (reactor, channel, sequence) DO NOTHING",
	forgetReactions: "DELETE FROM eventstore_reactions WHERE reactor = ? AND channel = ? AND sequence < ?",
}

// addedColumn is a column that tables of earlier builds lack.
type addedColumn struct{ probe, add string }

// createTable creates a table unless it exists, and adds the columns that it lacks.
func createTable(ctx context.Context, db *sql.DB, text string, added ...addedColumn) error {
	_, err := db.ExecContext(ctx, text)
	if err != nil { // on PostgreSQL, CREATE TABLE IF NOT EXISTS can fail while another program creates the same table
		_, err = db.ExecContext(ctx, text)
	}
	if err != nil {
		return err
	}
	for _, column := range added {
		if _, err := db.ExecContext(ctx, column.probe); err == nil {
			continue
		}
		if _, err := db.ExecContext(ctx, column.add); err != nil {
			if _, missing := db.ExecContext(ctx, column.probe); missing != nil { // otherwise another program has added it
				return err
			}
		}
	}
	return nil
}
