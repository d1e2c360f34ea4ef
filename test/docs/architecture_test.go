package docs

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// The table of docs/reference/architecture.md lists the packages below server/, and which of each other they import.
func TestArrows(t *testing.T) {
	t.Parallel()
	const server = "github.com/nats-eventstore/nats-eventstore/server/"
	imports := make(map[string]string)
	dirs, err := filepath.Glob(filepath.Join(page.Root(), "server", "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string][]string)
	for _, path := range dirs {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		name := filepath.Base(filepath.Dir(path))
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		known[name] = append(known[name], "")
		for _, i := range file.Imports {
			target, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if below, found := strings.CutPrefix(target, server); found {
				known[name] = append(known[name], "`"+below+"`")
			}
		}
	}
	for name, below := range known {
		slices.Sort(below)
		imports[name] = strings.Join(slices.Compact(below)[1:], ", ")
	}
	text, err := os.ReadFile(filepath.Join(page.Root(), "docs/reference/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| package of `server/` | ")
	table, _, _ = strings.Cut(table, "\n\n")
	if !found {
		t.Fatal("the page has no table of packages")
	}
	shown := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.*?) ?\\|").FindAllStringSubmatch(table, -1) {
		shown[row[1]] = row[2]
	}
	for name, below := range imports {
		if got, there := shown[name]; !there || got != below {
			t.Errorf("the page says that %s imports %q, it imports %q", name, got, below)
		}
	}
	for name := range shown {
		if _, there := imports[name]; !there {
			t.Errorf("the page lists %s, which does not exist", name)
		}
	}
}
