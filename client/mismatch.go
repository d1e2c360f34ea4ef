package eventstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"connectrpc.com/connect"
)

// ErrMismatch means that the Options do not fit a server: its URL leads to something else than the API, one side wants TLS
// and the other does not, a certificate is not accepted, or the credentials. The text says what to change. With several
// URLs, a call fails with it once no server is left that might answer.
var ErrMismatch = errors.New("the client's options do not fit the server")

// mismatch completes an error that retrying does not mend. It returns nil for other errors.
func mismatch(ctx context.Context, url string, err error) error {
	hint := mismatchHint(err)
	if address, plain := strings.CutPrefix(url, "http://"); plain && hint == "" && brokeOff(err) && hasTLS(ctx, address) {
		hint = useHTTPS
	}
	if hint == "" || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w at %s: %s: %w", ErrMismatch, url, hint, err)
}

// brokeOff reports whether a connection was opened, and ended without an answer. A server with TLS does that to a client without, and which of
// its reads and writes the client sees fail is a matter of chance.
func brokeOff(err error) bool {
	var network *net.OpError
	return connect.CodeOf(err) == connect.CodeUnavailable && !connect.IsWireError(err) && (!errors.As(err, &network) || network.Op != "dial")
}

const useHTTPS = "use https://: the server has TLS"

func mismatchHint(err error) string {
	var greeting *greetingError
	var record tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.As(err, &greeting):
		return speaks(greeting.first)
	case errors.Is(err, http.ErrSchemeMismatch):
		return hasNoTLS(nil)
	case errors.As(err, &record):
		return hasNoTLS(record.RecordHeader[:])
	case errors.As(err, &authority):
		return "its certificate is from an authority that the client does not know: add the authority to RootCAs of Options.TLS"
	case errors.As(err, &host):
		return "its certificate is for other names: use one of them in Options.URLs, or set ServerName of Options.TLS"
	case errors.As(err, &certificate):
		return "its certificate is not valid: renew it, or correct this machine's clock"
	case errors.As(err, &network) && network.Op == "remote error": // an alert of TLS
		return "the server refuses the TLS of the client: set Certificates of Options.TLS to a client certificate that it accepts"
	case connect.CodeOf(err) == connect.CodeUnauthenticated:
		return "set Options.Token to a token, or Certificates of Options.TLS to a client certificate, that the server accepts"
	}
	return answerHint(err)
}

// answerHint is about what was answered by HTTP, but not by the API.
func answerHint(err error) string {
	var failed *connect.Error
	const other = "something else than the API of an event store answers: check the port, which -grpc_port of the server sets"
	switch {
	case !errors.As(err, &failed) || connect.IsWireError(err):
		return ""
	case failed.Code() == connect.CodeUnimplemented,
		failed.Code() == connect.CodeUnknown && strings.Contains(failed.Message(), "content-type"):
		return other
	}
	return ""
}

const otherPort = "use the port of the API, which -grpc_port of the server sets"

// speaks tells what to do about a server without TLS that answered with the wrong protocol.
func speaks(first []byte) string {
	switch {
	case len(first) == 0:
		return "" // perhaps it is being stopped
	case first[0] == 0x15: // an alert of TLS
		return useHTTPS
	case bytes.HasPrefix(first, []byte("INFO ")):
		return "this is a port of NATS: " + otherPort
	case bytes.HasPrefix(first, []byte("HTTP/")):
		return "the server speaks only HTTP/1.1 there: " + otherPort
	}
	return "the server does not speak HTTP there: " + otherPort
}

// hasNoTLS tells what to do about a server that answered without TLS.
func hasNoTLS(first []byte) string {
	if bytes.HasPrefix(first, []byte("INFO ")) {
		return "this is a port of NATS: " + otherPort
	}
	return "the server has no TLS there: use http://, or the port of the API, which -grpc_port of the server sets"
}
