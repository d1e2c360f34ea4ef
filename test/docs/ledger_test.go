package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/test/page"
)

// Each block of each page is run by a test, or says why it cannot be.
func TestEveryBlockIsRun(t *testing.T) {
	t.Parallel()
	owners := owners(t)
	for name, blocks := range pages(t) {
		for _, b := range blocks {
			switch {
			case b.NoRun != "":
				t.Logf("%s: not run: %s", b.Place, b.NoRun)
			case b.Test != "":
				if !owners[[2]string{b.Test, name}] {
					t.Errorf("%s: no test %s calls page.Own(t, %q)", b.Place, b.Test, name)
				}
			case isOutput(b, blocks):
			default:
				switch b.Language {
				case "sh", "conf", "go", "sql", "json", "yaml":
				default:
					t.Errorf("%s: no test runs a block of %q", b.Place, b.Language)
				}
			}
		}
	}
}

// owners returns which tests call page.Own for which pages.
func owners(t *testing.T) map[[2]string]bool {
	t.Helper()
	found := make(map[[2]string]bool)
	eachFile(t, "_test.go", func(path string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 2 {
					return true
				}
				literal, ok := call.Args[1].(*ast.BasicLit)
				if ok && types.ExprString(call.Fun) == "page.Own" {
					if name, err := strconv.Unquote(literal.Value); err == nil {
						found[[2]string{f.Name.Name, name}] = true
					}
				}
				return true
			})
		}
	})
	return found
}

// eachFile calls f for each file of the repository whose name has the ending.
func eachFile(t *testing.T, ending string, f func(path string)) {
	t.Helper()
	err := filepath.WalkDir(page.Root(), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
		case d.IsDir() && path != page.Root() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ending):
			f(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
