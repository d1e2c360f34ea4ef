package console

import (
	"net"
	"net/http"
	"os"
	"strings"
)

// policy lets a page load the console's own files, and nothing else: no script or style in the page itself, and no other page around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// maxForm bounds what a form sends.
const maxForm = 64 << 10

// guard sets the headers of all answers, and refuses what pages of others can make a browser send.
func (c *Console) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if c.api.Anonymous() && !c.api.Encrypted() && !trueHost(r.Host) {
			http.Error(w, "the console asks nobody for a token, so it answers only to an address such as 127.0.0.1, to localhost and to this machine's name, "+
				"not to "+r.Host+": open it by one of those, or set grpc_token or access_file", http.StatusMisdirectedRequest)
			return
		}
		if fetchedByOthers(r) {
			http.Error(w, "a page of another site loads this: follow a link to the console, or open it", http.StatusForbidden)
			return
		}
		if err := c.origins.Check(r); err != nil {
			http.Error(w, "this form was sent by a page of another site: open the console itself and try again", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// fetchedByOthers reports whether a page of another site loads a page of the console as a picture, a script or a frame. It learns nothing so,
// but could have the server search all the time.
func fetchedByOthers(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") { // browsers set it
	case "cross-site", "same-site":
		return r.Header.Get("Sec-Fetch-Dest") != "document"
	}
	return false
}

// trueHost reports whether a Host header is one that a name server of others cannot point here: with a name of their own, a page of
// theirs would be of the console's origin (DNS rebinding).
func trueHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	own, err := os.Hostname()
	return net.ParseIP(host) != nil || strings.EqualFold(host, "localhost") || err == nil && strings.EqualFold(host, own)
}
