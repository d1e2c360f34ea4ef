package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/server/access"
)

// caller is who sent a request, by the credentials that came with it. Whose they are is looked up each time: a reload takes
// effect on calls that are running.
type caller struct {
	door        *Server
	address     string // where the request comes from
	host        string // to which name it was sent
	token       string
	hasToken    bool
	certificate *x509.Certificate // verified; nil without one
}

type callerKey struct{}

// callerOf returns the caller of a request.
func (s *Server) callerOf(r *http.Request) *caller {
	c := &caller{door: s, address: r.RemoteAddr, host: r.Host}
	c.token, c.hasToken = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		c.certificate = r.TLS.VerifiedChains[0][0]
	}
	return c
}

// everybody is the principal of a request that shows all that the options ask for, where no access file names principals.
var everybody = access.Everything("everybody")

// principal returns the caller's principal, or nil if its credentials are missing or not valid.
func (c *caller) principal() *access.Principal {
	now := c.door.settings.Load()
	switch {
	case now.policy == nil && now.ClientCAFile != "" && c.certificate == nil:
		return nil // connected before certificates were required
	case now.policy == nil && now.Token == "":
		return everybody
	case c.hasToken && now.Token != "" && equal(c.token, now.Token):
		return everybody
	case c.hasToken:
		return now.policy.ByToken(c.token)
	}
	return now.policy.ByCertificate(c.certificate)
}

// equal compares secrets in a time that says nothing about them, their length included.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// requireCaller serves requests whose caller has a principal.
func (s *Server) requireCaller(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.callerOf(r)
		if c.principal() != nil {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
			return
		}
		err := connect.NewError(connect.CodeUnauthenticated, errors.New("the request carries no valid token or client certificate"))
		refuse(w, r, err, http.StatusUnauthorized)
	})
}
