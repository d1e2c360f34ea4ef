package verify

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// keyColumns name a row, each in its table.
var keyColumns = []string{"id", "seq", "subid", "row", "uniquerow", "consumer", "part"}

// scanned scans a row. A row with values of the wrong type is a finding, and scanned returns false. Such rows can exist
// on SQLite, and if someone changed a column's type.
func (c *check) scanned(rows *sql.Rows, table string, to ...any) (bool, error) {
	return c.scannedOf("", rows, table, to...)
}

// scannedOf is scanned for rows whose keys begin with what they were selected by.
func (c *check) scannedOf(of string, rows *sql.Rows, table string, to ...any) (bool, error) {
	err := rows.Scan(to...)
	if err == nil {
		return true, nil
	}
	raw := make([]any, len(to))
	pointers := make([]any, len(to))
	for i := range raw {
		pointers[i] = &raw[i]
	}
	if rawErr := rows.Scan(pointers...); rawErr != nil {
		return false, errors.Join(err, rawErr)
	}
	columns, rawErr := rows.Columns()
	if rawErr != nil {
		return false, errors.Join(err, rawErr)
	}
	var key []string
	for i, name := range columns {
		if b, ok := raw[i].([]byte); ok {
			raw[i] = string(b)
		}
		if name = strings.ToLower(name); slices.Contains(keyColumns, name) {
			key = append(key, fmt.Sprintf("%s %.100q", name, fmt.Sprint(raw[i])))
		}
	}
	c.findings.add("foreign row", table, of+strings.Join(key, ", "), "a column holds an unexpected value: %v", err)
	return false, nil
}
