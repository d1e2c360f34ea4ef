package sql

import (
	"regexp"
	"strings"
	"testing"
)

// takes finds statements after which older programs may not work. Those of the first migrations run before any program that goes
// on with a newer schema.
var takes = regexp.MustCompile(`(?im)^\s*(DROP (TABLE|VIEW)|ALTER TABLE .*\b(DROP (COLUMN|CONSTRAINT)|RENAME)\b)`)

const firstToGoOn = 9

// A migration that takes something away names the version that programs must know.
func TestMigrationsThatTakeAway(t *testing.T) {
	t.Parallel()
	for _, database := range []string{"postgres", "mysql", "sqlite"} {
		files, err := Files(database)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text := file.Text
			if strings.Contains(text, "\nCREATE VIEW events AS") {
				text = strings.ReplaceAll(text, "DROP VIEW IF EXISTS events;", "") // it gets new columns
			}
			if found := takes.FindString(text); found != "" && file.Version > firstToGoOn && !regexp.MustCompile(`\bmin_version\b`).MatchString(file.Text) {
				t.Errorf("%s has %q: record min_version, see docs/operate/releases.md", file.Path, found)
			}
		}
	}
}
