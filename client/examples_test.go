package eventstore_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Each exported function, type and method is in an example, which shows how to use it.
func TestExamples(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	var exported []string
	var library []*ast.File
	for _, dir := range []string{".", "streaming"} {
		for _, it := range files(t, dir, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
			exported = append(exported, exportedBy(it)...)
			library = append(library, it)
		}
		for _, it := range files(t, dir, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
			if !slices.ContainsFunc(it.Decls, isExample) {
				continue
			}
			ast.Inspect(it, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl: // of an interface
					shown[n.Name.Name] = true
				case *ast.SelectorExpr:
					shown[n.Sel.Name] = true
				case *ast.KeyValueExpr: // a field of a literal
					if key, ok := n.Key.(*ast.Ident); ok {
						shown[key.Name] = true
					}
				}
				return true
			})
		}
	}
	for _, it := range library {
		showResults(it, shown)
	}
	for _, name := range exported {
		if _, method, _ := strings.Cut(name, "."); !shown[method] {
			t.Errorf("%s is in no example: add it to example_*_test.go", name)
		}
	}
	if len(exported) < 50 {
		t.Errorf("%d exported names", len(exported))
	}
}

func files(t *testing.T, dir string, want func(name string) bool) (found []*ast.File) {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), dir, func(info fs.FileInfo) bool { return want(info.Name()) }, 0) //nolint:staticcheck // one package per folder
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		for _, name := range slices.Sorted(maps.Keys(p.Files)) {
			found = append(found, p.Files[name])
		}
	}
	return found
}

func isExample(d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	return ok && strings.HasPrefix(f.Name.Name, "Example")
}

// implied are methods that nobody calls by name.
var implied = []string{"Error", "Unwrap", "Is", "String"}

// exportedBy returns the functions and types of a file as ".Name", and its methods as "Type.Name".
func exportedBy(file *ast.File) (names []string) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			of := ""
			if d.Recv != nil {
				of = receiver(d.Recv.List[0].Type)
			}
			if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(of)) && !slices.Contains(implied, d.Name.Name) {
				names = append(names, of+"."+d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if typ, ok := spec.(*ast.TypeSpec); ok && typ.Name.IsExported() {
					names = append(names, "."+typ.Name.Name)
				}
			}
		}
	}
	return names
}

// showResults adds the types that functions and methods return which are shown: an example need not name them.
func showResults(file *ast.File, shown map[string]bool) {
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Type.Results == nil || !shown[f.Name.Name] {
			continue
		}
		ast.Inspect(f.Type.Results, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok {
				shown[name.Name] = true
			}
			return true
		})
	}
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
