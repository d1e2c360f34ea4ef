// Command links checks the links between the pages of a directory: each file and each heading that a page of Markdown
// links to must exist. It does not visit web sites.
package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

func main() {
	broken, err := check(os.Args[1])
	for _, line := range broken {
		fmt.Println(line)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "links:", err)
	}
	if err != nil || len(broken) > 0 {
		os.Exit(1)
	}
}

// page is what the links of one file and to it need.
type page struct {
	links    []string
	headings map[string]bool // their anchors
}

func check(dir string) (broken []string, err error) {
	pages := make(map[string]page) // by path
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && path != dir && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return err
		}
		if filepath.Ext(path) == ".md" {
			pages[path], err = read(path)
		}
		return err
	})
	for path, p := range pages {
		for _, link := range p.links {
			file, anchor, _ := strings.Cut(link, "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				broken = append(broken, fmt.Sprintf("%s: %s: no such file", path, link))
			} else if to, ok := pages[target]; ok && anchor != "" && !to.headings[anchor] {
				broken = append(broken, fmt.Sprintf("%s: %s: no such heading", path, link))
			}
		}
	}
	return broken, err
}

func read(path string) (page, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return page{}, err
	}
	p := page{headings: make(map[string]bool)}
	markdown := goldmark.New(goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	err = ast.Walk(markdown.Parser().Parse(text.NewReader(source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			if id, ok := n.AttributeString("id"); ok {
				p.headings[string(id.([]byte))] = true
			}
		case *ast.Link:
			p.add(string(n.Destination))
		case *ast.Image:
			p.add(string(n.Destination))
		}
		return ast.WalkContinue, nil
	})
	return p, err
}

func (p *page) add(link string) {
	if !strings.Contains(link, ":") {
		p.links = append(p.links, link)
	}
}
