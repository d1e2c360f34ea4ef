package console

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/server/api"
)

var errToken = connect.NewError(connect.CodeUnauthenticated, errors.New("the console was sent a token that is not valid"))

// loginPage asks for a token.
func (c *Console) loginPage(v *visit) error {
	if v.visitor.Known {
		return v.redirect(nextOf(v.query.Get("next")))
	}
	return v.show("login", "Log in", "", map[string]any{"Next": v.query.Get("next")})
}

// login begins a session with a new ID, so that nobody can have planted it.
func (c *Console) login(v *visit) error {
	next := v.r.PostFormValue("next")
	token := strings.TrimSpace(v.r.PostFormValue("token"))
	if _, visitor := c.api.Enter(v.r, token); token == "" || !visitor.Known {
		c.api.Refused(v.r, errToken)
		v.showStatus(http.StatusUnauthorized, "login", "Log in", "", map[string]any{
			"Next": next, "Wrong": "No principal has this token. Check that it is complete, and that the server has reloaded its access file.",
		})
		return nil
	}
	c.sessions.end(v.id)
	setID(v.w, v.r, c.sessions.begin(token))
	return v.redirect(nextOf(next))
}

// logout ends the session.
func (c *Console) logout(v *visit) error {
	c.sessions.end(v.id)
	return v.redirect("/console/login")
}

// nextOf returns where to go after a login: a page of the console.
func nextOf(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, api.ConsolePath) ||
		strings.HasPrefix(u.Path, api.ConsoleStreams) || strings.Contains(next, `\`) || strings.Contains(u.Path, "..") {
		return api.ConsolePath
	}
	return u.RequestURI()
}

// fromElsewhere reports whether a page of another site leads here, such as the console of another server. Browsers keep the cookie of a session
// from such a request, so it says nothing about who sent it.
func fromElsewhere(r *http.Request) bool {
	_, err := r.Cookie(cookieName(r))
	return err != nil && r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Site") == "cross-site"
}

// comeIn answers with a page that leads to itself: the next request is of this site, and has the cookie.
func comeIn(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, `<!DOCTYPE html><html lang="en"><title>The console opens</title><meta http-equiv="refresh" content="0"><p>The console opens. If it does not, reload this page.`)
}
