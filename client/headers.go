package eventstore

import (
	"context"
	"net/http"

	"connectrpc.com/connect"
)

// headers is an interceptor that sends a token and the program's name with each call.
type headers struct{ token, userAgent string }

func (h headers) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		h.set(request.Header())
		return next(ctx, request)
	}
}

func (h headers) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		h.set(conn.RequestHeader())
		return conn
	}
}

func (h headers) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

func (h headers) set(header http.Header) {
	if h.token != "" {
		header.Set("Authorization", "Bearer "+h.token)
	}
	if h.userAgent != "" {
		header.Set("User-Agent", h.userAgent)
	}
}
