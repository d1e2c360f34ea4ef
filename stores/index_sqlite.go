package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// indexesBlock is true: CREATE INDEX is a write transaction, and SQLite allows one at a time.
func (*sqlite) indexesBlock() bool { return true }

const (
	// Without statistics SQLite rates all indexes the same, and would look for a customer's order among all orders.
	// Analyze after creating an index and each time the table has grown tenfold; a sample is enough.
	sqliteGrown    = "SELECT COUNT(*) FROM (SELECT MAX(rowid) AS now FROM Messages) WHERE now > 10 * (SELECT COALESCE(MAX(CAST(stat AS INTEGER)), 0) FROM sqlite_stat1 WHERE tbl = 'Messages')"
	sqliteAnalyzed = "SELECT name FROM sqlite_master WHERE name = 'sqlite_stat1'"

	// The index of a path is an expression index. "json_extract(…) = ?" implies its condition, which excludes events
	// without the value.
	sqliteCreateIndex = "CREATE INDEX %s ON Messages (%[2]s) WHERE %[2]s IS NOT NULL"
	sqliteDropIndex   = "DROP INDEX %s"
	sqliteAnalyze     = "PRAGMA analysis_limit = 1000; ANALYZE Messages"
	sqliteIndexes     = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'Messages'"
)

func (*sqlite) indexChanges(ctx context.Context, conn *sql.Conn, want []jsonIndex) ([]indexChange, error) {
	existing, err := names(ctx, conn, sqliteIndexes)
	if err != nil {
		return nil, err
	}
	existing = ours(existing)
	wanted := map[string]bool{}
	for _, x := range want {
		wanted[x.name()] = true
	}
	var changes []indexChange
	for _, name := range existing {
		if !wanted[name] {
			changes = append(changes, indexChange{what: "remove index " + name, text: fmt.Sprintf(sqliteDropIndex, name)})
		}
	}
	for _, x := range want {
		if !slices.Contains(existing, x.name()) {
			expression := fmt.Sprintf("json_extract(%s, %s)", x.column, quoteText(x.path.String()))
			changes = append(changes, indexChange{what: "create index on " + x.String(), text: fmt.Sprintf(sqliteCreateIndex, x.name(), expression)})
		}
	}
	analyze := len(changes) > 0
	if !analyze && len(want) > 0 {
		if analyze, err = sqliteHasGrown(ctx, conn); err != nil {
			return nil, err
		}
	}
	if analyze && len(want) > 0 {
		changes = append(changes, indexChange{what: "analyze Messages", text: sqliteAnalyze})
	}
	return changes, nil
}

func sqliteHasGrown(ctx context.Context, conn *sql.Conn) (bool, error) {
	analyzed, err := names(ctx, conn, sqliteAnalyzed)
	if err != nil || len(analyzed) == 0 {
		return err == nil, err
	}
	grown, err := names(ctx, conn, sqliteGrown)
	return len(grown) == 1 && grown[0] == "1", err
}

func (*sqlite) refusesDefinition(err error) bool {
	var e *sqlitedriver.Error
	return errors.As(err, &e) && slices.Contains([]int{sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY}, e.Code()&0xff)
}
