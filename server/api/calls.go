package api

import (
	"errors"
	"net/http"

	"connectrpc.com/connect"
)

// errTooManyCalls refuses a call beyond the limits.
var errTooManyCalls = errors.New("too many calls are open, of this client or of all: close some, or raise grpc_max_connections_per_peer or grpc_max_connections")

// countCalls bounds the calls that are open at a time. One connection carries many, each with buffers of its own.
func (s *Server) countCalls(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.calls.Add(r.RemoteAddr) {
			refuse(w, r, connect.NewError(connect.CodeResourceExhausted, errTooManyCalls), http.StatusTooManyRequests)
			return
		}
		defer s.calls.Remove(r.RemoteAddr)
		next.ServeHTTP(w, r)
	})
}

var errorWriter = connect.NewErrorWriter()

// refuse answers a request that no handler sees, by its protocol; status is for those that have none of ours.
func refuse(w http.ResponseWriter, r *http.Request, err error, status int) {
	if errorWriter.IsSupported(r) {
		_ = errorWriter.Write(w, r, err) // an error means that the client has gone
		return
	}
	http.Error(w, err.Error(), status)
}
