package stores

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	mysqldriver "github.com/go-sql-driver/mysql"
)

// indexesBlock is false: indexes are built in place, while others write.
func (*mysql) indexesBlock() bool { return false }

// The index of a path covers a virtual column, because MariaDB cannot index expressions. The column takes no space in
// the table. Queries name it as an extra column of the view events: MariaDB's optimizer does not recognize the
// expression in a query.
const (
	// A value longer than an index entry is cut off there, not refused.
	mysqlAddColumn = "ALTER TABLE Messages ADD COLUMN %s VARCHAR(255) CHARACTER SET utf8mb4 /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ GENERATED ALWAYS AS (LEFT(JSON_VALUE(%s, %s), 255)) VIRTUAL COMMENT %s, ALGORITHM = INSTANT"
	mysqlAddIndex  = "ALTER TABLE Messages ADD INDEX %s (%s), ALGORITHM = INPLACE, LOCK = NONE"
	mysqlDropIndex = "ALTER TABLE Messages DROP INDEX %s, ALGORITHM = INPLACE, LOCK = NONE"
	// Dropping a virtual column only changes the dictionary.
	mysqlDropColumn = "ALTER TABLE Messages DROP COLUMN %s"

	// mysqlView is the view of the last migration, with room for the columns of paths.
	mysqlView = `CREATE OR REPLACE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW events AS
SELECT
    c.name AS channel,
    m.seq AS sequence,
    m.time,
    m.event_id,
    m.aggregate_type,
    m.aggregate_id,
    m.event_version,
    m.event_type,
    m.event_data,
    m.metadata,
    m.position,
    m.tags,
    m.erased%s
FROM Messages AS m
LEFT JOIN Channels AS c FORCE INDEX (PRIMARY) ON c.id = m.id
WHERE m.event_type IS NOT NULL`

	mysqlIndexes = "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'Messages'"
	// The comment of each of our columns says what it holds.
	mysqlColumns     = "SELECT CONCAT(column_name, ' ', column_comment) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'Messages' AND column_comment LIKE '" + mysqlComment + "%' ORDER BY ordinal_position"
	mysqlViewColumns = "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'events' ORDER BY ordinal_position"
	mysqlComment     = "nats-eventstore: "
	mysqlViewWidth   = 13 // columns besides those of paths

	// A change of the table waits for its readers, and writers queue behind it. This bounds the wait, in seconds.
	mysqlSession = "SET SESSION lock_wait_timeout = 2"
)

func (*mysql) indexChanges(ctx context.Context, conn *sql.Conn, want []jsonIndex) ([]indexChange, error) {
	if _, err := conn.ExecContext(ctx, mysqlSession); err != nil {
		return nil, err
	}
	indexes, err := names(ctx, conn, mysqlIndexes)
	if err != nil {
		return nil, err
	}
	indexes = ours(indexes)
	commented, err := names(ctx, conn, mysqlColumns)
	if err != nil {
		return nil, err
	}
	view, err := names(ctx, conn, mysqlViewColumns)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{} // names of indexes, and columns with their comments
	var kept, shown []string    // columns of the view before and after the change
	var remove, add []indexChange
	for _, x := range want {
		wanted[x.name()], wanted[x.mysqlColumn()] = true, true
		shown = append(shown, x.field())
		if slices.Contains(commented, x.mysqlColumn()) {
			kept = append(kept, x.field())
		}
	}
	for _, name := range indexes {
		if !wanted[name] {
			remove = append(remove, indexChange{what: "remove index " + name, text: fmt.Sprintf(mysqlDropIndex, name)})
		}
	}
	for _, column := range commented {
		if !wanted[column] {
			name, _, _ := strings.Cut(column, " ")
			remove = append(remove, indexChange{what: "remove column " + name, text: fmt.Sprintf(mysqlDropColumn, quoteName(name))})
		}
	}
	for _, x := range want {
		if !slices.Contains(commented, x.mysqlColumn()) {
			_, comment, _ := strings.Cut(x.mysqlColumn(), " ")
			add = append(add, indexChange{what: "create column for " + x.String(),
				text: fmt.Sprintf(mysqlAddColumn, quoteName(x.field()), x.column, quoteText(x.path.String()), quoteText(comment))})
		}
		if !slices.Contains(indexes, x.name()) {
			add = append(add, indexChange{what: "create index on " + x.String(), text: fmt.Sprintf(mysqlAddIndex, x.name(), quoteName(x.field()))})
		}
	}
	view = view[min(len(view), mysqlViewWidth):]
	var changes []indexChange
	if len(remove) > 0 && !slices.Equal(view, kept) {
		changes = append(changes, mysqlViewChange(kept)) // first, so that the view never names a missing column
		view = kept
	}
	changes = append(append(changes, remove...), add...)
	if !slices.Equal(view, shown) {
		changes = append(changes, mysqlViewChange(shown))
	}
	return changes, nil
}

func mysqlViewChange(fields []string) indexChange {
	var columns strings.Builder
	for _, name := range fields {
		columns.WriteString(",\n    m." + quoteName(name))
	}
	return indexChange{what: "change columns of the view events", text: fmt.Sprintf(mysqlView, columns.String())}
}

// mysqlColumn returns the column of the path with its comment.
func (x jsonIndex) mysqlColumn() string { return x.field() + " " + mysqlComment + x.String() }

func quoteName(name string) string { return "`" + name + "`" }

func (*mysql) refusesDefinition(err error) bool {
	var e *mysqldriver.MySQLError
	return errors.As(err, &e) && slices.Contains([]uint16{
		1044, 1045, 1142, 1143, 1227, 1370, // privileges
		1060, 1061, 1064, 1068, 1069, 1070, 1071, 1072, 1091, 1117, 1305, 1347, 1356, // invalid definitions
		1845, 1846, // not possible in place on this version
		1901, 1906, 3102, 3105, 3106, 3758, // generated columns
	}, e.Number)
}
