package api

import (
	"errors"
	"net/http"

	"connectrpc.com/connect"
)

// ErrTooManyCalls refuses a call beyond the limits.
var ErrTooManyCalls = errors.New("too many calls are open, of this client or of all: close some, or raise grpc_max_connections_per_peer or grpc_max_connections")

// countCalls bounds the calls that are open at a time. One connection carries many, each with buffers of its own.
func (s *Server) countCalls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.calls.Add(r.RemoteAddr) {
			refuse(w, r, connect.NewError(connect.CodeResourceExhausted, ErrTooManyCalls), http.StatusTooManyRequests)
			return
		}
		defer s.calls.Remove(r.RemoteAddr)
		next.ServeHTTP(w, r)
	})
}
