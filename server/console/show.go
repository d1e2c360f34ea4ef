package console

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"slices"
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
	"plural": plural, "door": doorOf, "json": prettyJSON, "link": link, "text": func(b []byte) string { return string(b) },
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
	Form    string // token of forms
	Done    string // what an act has done
	Standby *standby
	Body    any
}

// menuItem is a page in the menu. Key opens it after g.
type menuItem struct{ Section, Path, Title, Key string }

// menu is for everybody whom the API knows, consumersMenu for those who may administer some channels, and adminMenu for administrators of all.
var (
	menu = []menuItem{
		{"overview", "/console/", "Overview", "o"},
		{"events", "/console/events", "Events", "e"},
		{"aggregate", "/console/aggregate", "Aggregate", "a"},
		{"channels", "/console/channels", "Channels", "c"},
	}
	consumersMenu = []menuItem{
		{"consumers", "/console/consumers", "Consumers", "d"},
	}
	adminMenu = []menuItem{
		{"clients", "/console/clients", "Clients", "l"},
		{"routes", "/console/routes", "Routes", "r"},
		{"sql", "/console/sql", "SQL", "q"},
		{"damage", "/console/damage", "Damage", "m"},
		{"audit", "/console/audit", "Audit", "u"},
		{"settings", "/console/settings", "Settings", "s"},
	}
)

func (v *visit) menu() []menuItem {
	switch {
	case !v.visitor.Known:
		return nil
	case v.visitor.Admin(everywhere):
		return slices.Concat(menu, consumersMenu, adminMenu)
	case v.visitor.AdminSome:
		return slices.Concat(menu, consumersMenu)
	}
	return menu
}

// show answers with a page.
func (v *visit) show(name, title, section string, body any) error {
	v.showStatus(http.StatusOK, name, title, section, body)
	return nil
}

func (v *visit) showStatus(status int, name, title, section string, body any) {
	l := layout{
		Title: title, Section: section, About: v.console.opts.About, Who: v.visitor.Name, Logged: v.logged(), Known: v.visitor.Known,
		Form: v.console.formToken(v.id), Menu: v.menu(), Done: doneText(v.query.Get("done")), Body: body,
	}
	if v.visitor.Known {
		l.Standby = v.standby()
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
