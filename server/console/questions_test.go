package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write questions.json")

// TestQuestions compares the questions with the page of docs that explains them.
func TestQuestions(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	drivers := map[string]string{"PostgreSQL": "postgres", "MySQL": "mysql", "MariaDB": "mysql", "SQLite": "sqlite"}
	var all []question
	var title string
	var block *strings.Builder
	for line := range strings.Lines(string(page)) {
		switch {
		case strings.HasPrefix(line, "## ") && block == nil:
			title = strings.TrimSpace(line[3:])
		case strings.HasPrefix(line, "```sql"):
			block = &strings.Builder{}
		case strings.HasPrefix(line, "```") && block != nil:
			text := strings.TrimSpace(block.String())
			block = nil
			q := question{Title: title}
			if comment, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(comment, "-- ") {
				for name := range strings.SplitSeq(comment[3:], ", ") {
					driver := drivers[name]
					if driver == "" {
						t.Fatalf("%s: unknown database %q", title, name)
					}
					if len(q.Databases) == 0 || q.Databases[len(q.Databases)-1] != driver {
						q.Databases = append(q.Databases, driver)
					}
				}
				text = rest
			}
			q.SQL = text
			all = append(all, q)
		case block != nil:
			block.WriteString(line)
		}
	}
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(all); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("questions.json", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(all) < 10 || !bytes.Equal(questionsFile, want.Bytes()) {
		t.Errorf("questions.json is not what docs/reference/sql.md says: go test ./server/console -run Questions -update")
	}
}
