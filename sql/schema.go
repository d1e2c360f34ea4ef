// Package sql holds the schema of the event store: numbered migrations for each database, embedded.
//
// A file is plain SQL that the database's own client runs as it is, and may run again: it creates what is absent, and
// records its version in the table goose_db_version itself. The comments "+goose" tell the migration library where
// statements end. A released file never changes; a change of the schema is a new file with the next number.
// A file that takes something away says which programs can go on: docs/operate/releases.md.
package sql

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

//go:embed postgres/*.sql mysql/*.sql sqlite/*.sql
var files embed.FS

// File is one migration.
type File struct {
	Version int64  // number at the start of the file's name, ascending from 1
	Path    string // "sql/postgres/00002_events.sql": where it is in the source of the project
	Text    string
}

// Files returns the migrations of a database ("postgres", "mysql", "sqlite") by ascending version. It is an error if
// there is no such database.
func Files(database string) ([]File, error) {
	dir, err := Dir(database)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("migrations of %s: %w", database, err)
	}
	var found []File
	for _, entry := range entries {
		number, _, _ := strings.Cut(entry.Name(), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("migration %s: its name has no number", entry.Name())
		}
		text, err := fs.ReadFile(dir, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", entry.Name(), err)
		}
		found = append(found, File{Version: version, Path: path.Join("sql", database, entry.Name()), Text: string(text)})
	}
	return found, nil
}

// Dir returns the folder of a database's migrations. It is an error if there is no such database.
func Dir(database string) (fs.FS, error) {
	switch database {
	case "postgres", "mysql", "sqlite":
		return fs.Sub(files, database)
	}
	return nil, fmt.Errorf("no migrations for database %q: it is none of postgres, mysql, sqlite", database)
}
