package stores

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testdata/postgres.sql shows the complete texts sent to PostgreSQL, to read and to search.
func TestStatementsOfPostgreSQL(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/postgres.sql")
	if err != nil {
		t.Fatal(err)
	}
	s := postgresStatements
	s.more = nil
	if got := strings.Join(s.all(), "\n") + "\n"; got != string(want) {
		t.Errorf("testdata/postgres.sql must be:\n%s", got)
	}
}

// Each text occurs once, and takes the same parameters on each database, in the same order.
func TestStatements(t *testing.T) {
	t.Parallel()
	numbers := regexp.MustCompile(`\$[0-9]+`)
	s := postgresStatements
	s.more = nil
	texts := s.all()
	for driver, other := range map[string]statements{"mysql": mysqlStatements, "sqlite": sqliteStatements} {
		other.more = nil
		for i, text := range other.all() {
			n := strings.Count(text, "?")
			if text == "" || strings.Contains(text, "$") {
				t.Errorf("%s: text %d is %q", driver, i, text)
			}
			if got := numbers.FindAllString(texts[i], -1); !slices.Equal(got, numbers.FindAllString(numbered(strings.Repeat("?", n)), -1)) {
				t.Errorf("%s takes %d parameters, PostgreSQL %v: %s", driver, n, got, texts[i])
			}
		}
	}
	for i, text := range texts {
		if strings.ContainsRune(text, '?') || slices.Contains(texts[:i], text) {
			t.Errorf("%q has a placeholder of other databases, or is there twice", text)
		}
	}
}
