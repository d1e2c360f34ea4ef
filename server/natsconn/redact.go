package natsconn

import (
	"regexp"
	"strings"
)

const hidden = "***"

// userInfo matches the user information of URLs.
var userInfo = regexp.MustCompile(`://[^\s,"']*@`)

// HideUsers replaces the user information of the URLs in a text.
func HideUsers(text string) string { return userInfo.ReplaceAllString(text, "://"+hidden+"@") }

// hideUsersIn returns an error whose text shows no user information.
func hideUsersIn(err error) error {
	if text := HideUsers(err.Error()); text != err.Error() {
		return &redacted{text, err}
	}
	return err
}

type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }
func (r *redacted) Unwrap() error { return r.err }

// RedactURLs hides the user information in a comma-separated list of URLs, which may lack the scheme.
func RedactURLs(urls string) string {
	list := strings.Split(urls, ",")
	for i, u := range list {
		if at := strings.LastIndex(u, "@"); at >= 0 {
			scheme := ""
			if j := strings.Index(u, "://"); j >= 0 && j < at {
				scheme = u[:j+3]
			}
			list[i] = scheme + hidden + u[at:]
		}
	}
	return strings.Join(list, ",")
}
