package stan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// What clients get as an error has its text from package refusal, so that they can read it. An error with a text of its own here
// would be one that they cannot.
func TestTextsAreReadable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || name == "discover.go" { // its error stops the server
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			of, ok := call.Fun.(*ast.SelectorExpr)
			if text, literal := call.Args[0].(*ast.BasicLit); ok && literal && of.Sel.Name == "New" {
				t.Errorf("%s: the text %s is not from package refusal", fset.Position(call.Pos()), text.Value)
			}
			return true
		})
	}
}
