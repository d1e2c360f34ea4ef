package verify

import (
	"context"
	"database/sql"
	"fmt"
)

// schema checks the indexes that guard uniqueness, the triggers that guard events, and the view.
func (c *check) schema(ctx context.Context) error {
	found := map[string]bool{}
	err := c.snapshot.Query(ctx, c.texts.objects, func(rows *sql.Rows) error {
		var kind, name string
		err := rows.Scan(&kind, &name)
		found[kind+" "+name] = true
		return err
	})
	if err != nil {
		return err
	}
	for _, object := range c.texts.wanted {
		if !found[object] {
			c.findings.add("schema", "catalog", object, "it is missing, disabled or hidden from this user")
		}
	}
	return nil
}

// integrity asks the database to check its own file, if it can.
func (c *check) integrity(ctx context.Context) error {
	if c.texts.integrity == "" {
		return nil
	}
	c.progress("file", 0, 0)
	return c.snapshot.Query(ctx, c.texts.integrity, func(rows *sql.Rows) error {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			c.findings.add("file", "database", c.report.Driver, "%s", line)
		}
		return nil
	})
}

// lease checks StoreLock.
func (c *check) lease(ctx context.Context) error {
	count := 0
	err := c.snapshot.Query(ctx, "SELECT id, tick FROM StoreLock", func(rows *sql.Rows) error {
		count++
		var id sql.NullString
		var tick sql.NullInt64
		ok, err := c.scanned(rows, "StoreLock", &id, &tick)
		if err != nil || !ok {
			return err
		}
		if !id.Valid || !tick.Valid || tick.Int64 < 0 {
			c.findings.add("lease", "StoreLock", fmt.Sprintf("id %q", id.String), "id is NULL, or tick is NULL or negative")
		}
		return nil
	})
	if err == nil && count != 1 {
		c.findings.add("lease", "StoreLock", "all rows", "there are %d rows, not 1", count)
	}
	return err
}
