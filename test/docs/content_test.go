package docs

import (
	"database/sql"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	_ "modernc.org/sqlite" // driver "sqlite"

	"github.com/nats-eventstore/nats-eventstore/test/databases"
	"github.com/nats-eventstore/nats-eventstore/test/harness"
	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// of returns the blocks of a language that this package runs.
func of(t *testing.T, language string) (found []*page.Block) {
	t.Helper()
	for _, blocks := range pages(t) {
		for _, b := range blocks {
			if b.Language == language && ours(b) && !isOutput(b, blocks) {
				found = append(found, b)
			}
		}
	}
	return found
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	var document any
	for _, b := range of(t, "json") {
		if err := json.Unmarshal([]byte(b.Text()), &document); err != nil {
			t.Errorf("%s: %v", b.Place, err)
		}
	}
	for _, b := range of(t, "yaml") {
		if err := yaml.Unmarshal([]byte(b.Text()), &document); err != nil {
			t.Errorf("%s: %v", b.Place, err)
		}
	}
}

// TestCode: each block of Go is in a file that a test compiles and runs. Between the two, white space may differ, and …
// stands for code that the page leaves out.
func TestCode(t *testing.T) {
	t.Parallel()
	var code []string
	for _, part := range []string{"examples", "client", "eventstoretest", "test"} {
		eachFile(t, ".go", func(path string) {
			if !strings.HasPrefix(path, filepath.Join(page.Root(), part)+string(filepath.Separator)) {
				return
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, words(string(text)))
		})
	}
	for _, b := range of(t, "go") {
		pattern := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(words(b.Text())), "…", ".*?"))
		if !slices.ContainsFunc(code, pattern.MatchString) {
			t.Errorf("%s: this is not in the code:\n%s", b.Place, b.Text())
		}
	}
}

// words returns code in one line, with single spaces.
func words(code string) string { return strings.Join(strings.Fields(code), " ") }

// databasesOf are the drivers that the first line of a block of SQL may name.
var databasesOf = map[string]string{"-- PostgreSQL": "postgres", "-- MySQL, MariaDB": "mysql", "-- SQLite": "sqlite"}

// TestStatements runs each statement on the databases that the page names, or on all of them.
func TestStatements(t *testing.T) {
	t.Parallel()
	blocks := of(t, "sql")
	if len(blocks) == 0 {
		return // each has a test of its own
	}
	databases.Each(t, func(t *testing.T, driver, source string) {
		migrate := exec.Command(harness.Binary(), "migrate", "-store", "SQL", "-sql_driver", driver, "-sql_source", source)
		if out, err := migrate.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		db, err := sql.Open(driver, source)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, b := range blocks {
			first, _, _ := strings.Cut(b.Text(), "\n")
			if only := databasesOf[first]; only != "" && only != driver {
				continue
			}
			for statement := range strings.SplitSeq(b.Text(), ";\n") {
				if strings.TrimSpace(statement) == "" {
					continue
				}
				if _, err := db.ExecContext(t.Context(), statement); err != nil {
					t.Errorf("%s: %v\n%s", b.Place, err, statement)
				}
			}
		}
	})
}
