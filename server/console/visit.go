package console

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/server/api"
)

// visit is one request for a page.
type visit struct {
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context // for calls of the API on behalf of the visitor
	console *Console
	id      string // of the browser
	visitor api.Visitor
	began   bool // in a session
	query   url.Values
}

// Who may see a page.
type audience int

const (
	anybody        audience = iota // even who is not logged in
	known                          // whom the API knows
	administrators                 // who may administer all channels
)

var (
	errNoPage = &pageError{http.StatusNotFound, "there is no such page: choose one from the menu"}
	errRights = &pageError{http.StatusForbidden, "this page is for administrators of all channels: the server's access file grants the right admin on >"}
	errSlow   = &pageError{http.StatusServiceUnavailable, "the database did not answer within " + searchTime.String() + ": try again"}
	errForm   = &pageError{http.StatusForbidden, "this form is not of this session, or is too old: go back, reload the page and try again"}
)

// pageError is an error with a status of HTTP.
type pageError struct {
	status int
	text   string
}

func (e *pageError) Error() string { return e.text }

// page serves a page to its audience.
func (c *Console) page(serve func(*visit) error, who audience) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromElsewhere(r) {
			comeIn(w)
			return
		}
		v := c.visit(w, r)
		if !v.visitor.Known && who != anybody {
			v.toLogin()
			return
		}
		if who == administrators && !v.visitor.Admin(everywhere) {
			v.fail(errRights)
			return
		}
		if r.Method == http.MethodPost && !c.isFormToken(v.id, r.PostFormValue("form")) {
			v.fail(errForm)
			return
		}
		if err := serve(v); err != nil {
			v.fail(err)
		}
	})
}

// visit finds out who sent a request.
func (c *Console) visit(w http.ResponseWriter, r *http.Request) *visit {
	v := &visit{w: w, r: r, console: c, query: r.URL.Query()}
	if cookie, err := r.Cookie(cookieName(r)); err == nil && len(cookie.Value) < 100 {
		v.id = cookie.Value
	}
	token, logged := c.sessions.token(v.id)
	v.began = logged
	v.ctx, v.visitor = c.api.Enter(r, token)
	if logged && !v.visitor.Known { // a reload took the token away
		c.sessions.end(v.id)
	}
	if v.id == "" {
		v.id = rand.Text()
		setID(w, r, v.id)
	}
	return v
}

// logged reports whether the visitor has logged in with a token.
func (v *visit) logged() bool {
	_, ok := v.console.sessions.token(v.id)
	return ok
}

// toLogin sends whoever is not known to the login, and back afterwards.
func (v *visit) toLogin() {
	if strings.HasPrefix(v.r.URL.Path, api.ConsoleStreams) {
		http.Error(v.w, "log in first", http.StatusUnauthorized)
		return
	}
	to := "/console/login"
	if v.r.Method == http.MethodGet && v.r.URL.Path != api.ConsolePath {
		to += "?next=" + url.QueryEscape(v.r.URL.RequestURI())
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}

// redirect sends the browser to a page of the console.
func (v *visit) redirect(to string) error {
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// fail answers with an error.
func (v *visit) fail(err error) {
	if v.r.Context().Err() != nil {
		return // the browser has gone
	}
	status := http.StatusInternalServerError
	var own *pageError
	var call *connect.Error
	text := err.Error()
	switch {
	case errors.As(err, &own):
		status = own.status
	case errors.As(err, &call):
		status, text = statusOf(call.Code()), call.Message()
		v.console.api.Refused(v.r, err)
	}
	title := "That did not work"
	switch status {
	case http.StatusNotFound:
		title = "Not found"
	case http.StatusForbidden:
		title = "Not allowed"
	case http.StatusServiceUnavailable:
		title = "Not now"
	}
	v.showStatus(status, "error", title, "", map[string]any{"Text": text, "Status": status})
}

// statusOf returns the status of HTTP for a code of the API.
func statusOf(c connect.Code) int {
	switch c {
	case connect.CodeInvalidArgument:
		return http.StatusBadRequest
	case connect.CodeNotFound:
		return http.StatusNotFound
	case connect.CodePermissionDenied:
		return http.StatusForbidden
	case connect.CodeUnauthenticated:
		return http.StatusUnauthorized
	case connect.CodeFailedPrecondition, connect.CodeAborted, connect.CodeAlreadyExists:
		return http.StatusConflict
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeResourceExhausted:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
