package monitor

import (
	"fmt"
	"html"
	"net/http"
	"strings"
)

// section is a part of the index.
type section struct {
	title string
	pages []endpoint
}

// index returns the page at root, which links all others. The links are relative: the port may be behind a proxy.
func index(root string, sections []section) http.Handler {
	up := "."
	if depth := strings.Count(root, "/") - 1; depth > 0 {
		up += strings.Repeat("/..", depth)
	}
	seen := make(map[string]bool)
	var b strings.Builder
	b.WriteString(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Monitoring</title>
<style>body { font-family: sans-serif; margin: 2em } td { padding: .2em 1em .2em 0 } h2 { font-size: 1.1em }</style></head>
<body>
<h1>Monitoring</h1>
`)
	for _, s := range sections {
		fmt.Fprintf(&b, "<h2>%s</h2>\n<table>\n", html.EscapeString(s.title))
		for _, p := range s.pages {
			if seen[p.path] { // without a base path, /healthz is ours
				continue
			}
			seen[p.path] = true
			fmt.Fprintf(&b, "<tr><td><a href=\"%s\">%s</a></td><td>%s</td></tr>\n",
				html.EscapeString(up+p.path), html.EscapeString(p.path), html.EscapeString(p.about))
		}
		b.WriteString("</table>\n")
	}
	b.WriteString("</body>\n</html>\n")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(b.String())) // an error means that the client has gone
	})
}
