package verify

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// foreign says what is wrong with an object that is not part of the schema. Other kinds of objects are an
// administrator's business.
var foreign = map[string]string{
	"trigger":     "it is not part of the schema",
	"foreign key": "it is not part of the schema, and may delete or change rows, or keep them",
	"rule":        "it is not part of the schema, and may replace statements",
	"row policy":  "it is not part of the schema, and may hide rows",
	"setting":     "sessions with it fire no triggers, so events are not protected from them",
}

// schema checks the indexes that guard uniqueness, the triggers that guard events, and the view. It reports what others
// have added to our tables, and our own triggers and functions if their text was changed.
func (c *check) schema(ctx context.Context) error {
	wanted, err := c.texts.definitions(c.snapshot.Driver)
	if err != nil {
		return err
	}
	found := map[string]bool{}
	err = c.snapshot.Query(ctx, c.texts.objects, func(rows *sql.Rows) error {
		var kind, name, table, definition string
		if err := rows.Scan(&kind, &name, &table, &definition); err != nil {
			return err
		}
		object := kind + " " + name
		want, ours := wanted[object]
		found[object] = true
		switch optional := c.texts.optional[object]; {
		case ours && want != "" && !sameDefinition(want, definition):
			c.findings.add("schema", table, object, "its definition is not that of this server: %s", oneLine(definition))
		case !ours && foreign[kind] != "" && (optional == "" || !sameDefinition(optional, definition)):
			c.findings.add("schema", table, object, "%s: %s", foreign[kind], oneLine(definition))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.snapshot.Triggers; err != nil {
		c.findings.add("schema", "catalog", "triggers", "%v", err)
	}
	for object := range wanted {
		if !found[object] {
			c.findings.add("schema", "catalog", object, "it is missing, disabled or hidden from this user")
		}
	}
	return nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

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
