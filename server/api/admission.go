package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

const (
	// envelopeHeader is the length of the gRPC message prefix: a byte of flags, whose lowest bit means compressed, and
	// the message length.
	envelopeHeader = 5
	compressed     = 1
	// decodedFactor estimates the memory of a request: its bytes, and the messages they decode to.
	decodedFactor = 2
	// streamRequest bounds the request of a streaming method. Such a call may last for days, so it holds no admission
	// memory.
	streamRequest = 64 << 10
)

// streams lists the methods that answer with a stream.
var streams = map[string]bool{
	eventstorev1connect.EventStoreReadProcedure:          true,
	eventstorev1connect.EventStoreReadAggregateProcedure: true,
	eventstorev1connect.EventStoreSubscribeProcedure:     true,
}

// requireMemory reserves memory for a request before it is read. The other doors share the same budget.
func (s *Server) requireMemory(log func() Log, next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if streams[r.URL.Path] || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		// A client that sends slowly must not keep the memory; where there is no such deadline, there is no slow client.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		held, err := s.admit(r, log())
		if err != nil {
			if refuse.IsSupported(r) {
				_ = refuse.Write(w, r, status(err)) // an error means that the client has gone
				return
			}
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer held.release()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), holdKey{}, held)))
	})
}

// hold is the memory of a request. It is given back when the handler has ended and nobody else needs the request.
type hold struct {
	admission Admission
	bytes     int
	users     atomic.Int32
}

type holdKey struct{}

func (h *hold) release() {
	if h.users.Add(-1) == 0 {
		h.admission.Release(h.bytes)
	}
}

// Retain keeps the memory of the request of ctx until release is called: its events may be on their way to the database after
// the client has gone.
func Retain(ctx context.Context) (release func()) {
	h, ok := ctx.Value(holdKey{}).(*hold)
	if !ok {
		return func() {}
	}
	h.users.Add(1)
	return h.release
}

// admit waits until there is memory for a request.
func (s *Server) admit(r *http.Request, log Log) (*hold, error) {
	if log == nil {
		return nil, ErrStandby
	}
	size, err := s.requestSize(r)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	h := &hold{admission: log.Admission(), bytes: decodedFactor * min(size, s.options.MaxMessage)}
	h.users.Store(1)
	ctx, cancel := context.WithTimeout(r.Context(), admissionTimeout)
	defer cancel()
	if err := h.admission.Acquire(ctx, h.bytes); err != nil {
		return nil, err
	}
	return h, nil
}

const (
	// admissionTimeout is how long a request waits for memory.
	admissionTimeout = 5 * time.Second
	// bodyTimeout is how long a client may take to send a request that is to hold memory, the wait for that included.
	bodyTimeout = 30 * time.Second
)

// requestSize returns the size of a request's message in bytes, or the largest possible size if the header does not
// tell. It reads only the message header.
func (s *Server) requestSize(r *http.Request) (int, error) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		header := make([]byte, envelopeHeader)
		n, err := io.ReadFull(r.Body, header)
		r.Body = body{io.MultiReader(bytes.NewReader(header[:n]), r.Body), r.Body}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, nil // the handler reports the error
		case err != nil:
			return 0, err
		case header[0]&compressed != 0:
			return s.options.MaxMessage, nil
		}
		return int(binary.BigEndian.Uint32(header[1:])), nil
	}
	if r.ContentLength < 0 || r.Header.Get("Content-Encoding") != "" {
		return s.options.MaxMessage, nil
	}
	return int(min(r.ContentLength, int64(s.options.MaxMessage))), nil
}

// body is a request body whose first bytes were read and put back.
type body struct {
	io.Reader
	io.Closer
}
