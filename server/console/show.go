package console

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
)

// pages are the templates, by name. Each is written into the layout.
var pages = func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(functions).ParseFS(files, "pages/layout.html", "pages/parts.html"))
	all := make(map[string]*template.Template)
	entries, err := files.ReadDir("pages")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, e := range entries {
		all[e.Name()] = template.Must(template.Must(layout.Clone()).ParseFS(files, "pages/"+e.Name()))
	}
	return all
}()

var functions = template.FuncMap{
	"number": number, "bytes": byteSize, "seconds": seconds, "moment": moment, "when": when, "ago": ago, "rate": rate,
	"plural": plural, "json": prettyJSON, "link": link, "text": func(b []byte) string { return string(b) },
}

// layout is what every page shows around its contents.
type layout struct {
	Title   string
	Section string // of the menu
	Menu    []menuItem
	About   About
	Who     string // of whoever is logged in
	Logged  bool
	Known   bool
	Admin   bool
	Form    string // token of forms
	Done    string // what an act has done
	Body    any
}

type menuItem struct{ Section, Path, Title string }

// menu are the pages for everybody whom the API knows, and those for administrators of all channels.
var menu, adminMenu = []menuItem{
	{"overview", "/console/", "Overview"},
	{"events", "/console/events", "Events"},
}, []menuItem{}

// show answers with a page.
func (v *visit) show(name, title, section string, body any) error {
	v.showStatus(http.StatusOK, name, title, section, body)
	return nil
}

func (v *visit) showStatus(status int, name, title, section string, body any) {
	l := layout{
		Title: title, Section: section, About: v.console.opts.About, Who: v.visitor.Name, Logged: v.logged(), Known: v.visitor.Known,
		Form: v.console.formToken(v.id), Done: done[v.query.Get("done")], Body: body,
	}
	if v.visitor.Known {
		l.Menu = menu
		if l.Admin = v.visitor.Admin(everywhere); l.Admin {
			l.Menu = append(append([]menuItem(nil), menu...), adminMenu...)
		}
	}
	page, err := v.render(name, "layout.html", l)
	if err != nil {
		v.console.opts.Log.Error("The console failed to write a page", "page", name, "error", err)
		http.Error(v.w, "the page could not be written; the server's log says why", http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(page) // an error means that the browser has gone
}

// render writes a template of a page. Whatever the page shows, nothing in it hides or reorders text.
func (v *visit) render(page, part string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := pages[page+".html"].ExecuteTemplate(&b, part, data); err != nil {
		return nil, err
	}
	return visible(b.Bytes()), nil
}

// everywhere is the pattern of all channels.
const everywhere = ">"

// done are the messages after acts, by the names in the address.
var done = map[string]string{}

// link returns a path with parameters, of which it leaves out the empty ones.
func link(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// numberOf returns a number of the query, or 0 if it is missing.
func (v *visit) numberOf(name string) (uint64, error) {
	text := v.query.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, badRequest(name + " is " + strconv.Quote(text) + ": write a number")
	}
	return n, nil
}

func badRequest(text string) error { return &pageError{http.StatusBadRequest, text} }
