package verify

import (
	"context"
	"database/sql"
	"fmt"
)

const appendersText = "SELECT m.appender, COUNT(*), MIN(m.position) FROM Messages AS m LEFT JOIN Appenders AS a ON a.id = m.appender WHERE m.appender IS NOT NULL AND a.id IS NULL GROUP BY m.appender ORDER BY m.appender"

// appenders checks that whoever messages name as their appender has a row.
func (c *check) appenders(ctx context.Context) error {
	return c.snapshot.Query(ctx, appendersText, func(rows *sql.Rows) error {
		var id, count int64
		var first sql.NullInt64
		ok, err := c.scanned(rows, "Messages", &id, &count, &first)
		if err != nil || !ok {
			return err
		}
		c.findings.add("appender", "Appenders", fmt.Sprintf("id %d", id), "it is missing, but %d messages name it, the first event at position %d", count, first.Int64)
		return nil
	})
}
