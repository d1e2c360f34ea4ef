package server

import (
	"net/http"
	"strings"

	"github.com/nats-eventstore/nats-eventstore/server/access"
)

// mayConsume returns what says whether a user of the embedded NATS server may receive the messages of a channel, or of all channels of a
// pattern, nil while the access file names no users.
func (s *server) mayConsume() func(user, channel string) bool {
	policy := s.rights.Policy()
	if !policy.NamesUsers() {
		return nil
	}
	return func(user, channel string) bool { return policy.ByUser(user).MayAll(access.Consume, channel) }
}

// protectMonitoring lets only principals with the right to monitor see pages, once the access file gives it to somebody. They send
// a token, as a bearer token or as the password of Basic, or a client certificate.
func protectMonitoring(rights *access.Holder) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			policy := rights.Policy()
			if policy.Monitors() && !mayMonitor(policy, r) {
				w.Header().Set("WWW-Authenticate", `Basic realm="monitoring"`)
				http.Error(w, "the request carries no token or certificate of a principal with the right to monitor", http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func mayMonitor(policy *access.Policy, r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, token, _ = r.BasicAuth()
	}
	principal := policy.ByToken(token)
	if principal == nil && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		principal = policy.ByCertificate(r.TLS.VerifiedChains[0][0])
	}
	return principal != nil && principal.Monitor
}
