package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1/eventstorev1connect"
)

const (
	// envelopeHeader is the length of what precedes a message of gRPC: a byte of flags, the first of which means compressed,
	// and the length of the message.
	envelopeHeader = 5
	compressed     = 1
	// decodedFactor is about how much more memory a request takes than its bytes: these, and what they are decoded to.
	decodedFactor = 2
	// streamRequest bounds the request of a method that answers with a stream. It holds no memory of the admission, since it
	// lasts.
	streamRequest = 64 << 10
)

// streams are the methods whose answer is a stream.
var streams = map[string]bool{
	eventstorev1connect.EventStoreReadProcedure:          true,
	eventstorev1connect.EventStoreReadAggregateProcedure: true,
	eventstorev1connect.EventStoreSubscribeProcedure:     true,
}

// admitted lets requests through as memory has room for them, before they are read: beside what the other doors hold.
func (s *Server) admitted(log func() Log, next http.Handler) http.Handler {
	refuse := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if streams[r.URL.Path] || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		release, err := s.admit(r, log())
		if err != nil {
			if refuse.IsSupported(r) {
				_ = refuse.Write(w, r, status(err)) // an error: the client has gone
				return
			}
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer release()
		next.ServeHTTP(w, r)
	})
}

// admit waits for the memory of a request.
func (s *Server) admit(r *http.Request, log Log) (release func(), err error) {
	if log == nil {
		return nil, ErrStandby
	}
	size, err := s.requestSize(r)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	held := decodedFactor * min(size, s.options.MaxMessage)
	ctx, cancel := context.WithTimeout(r.Context(), admissionTimeout)
	defer cancel()
	if err := log.Admission().Acquire(ctx, held); err != nil {
		return nil, err
	}
	return func() { log.Admission().Release(held) }, nil
}

// admissionTimeout is how long a request waits for memory.
const admissionTimeout = 5 * time.Second

// requestSize returns the size of the message of a request in bytes, or the most that it can be where only the message itself
// would tell. It reads no more than the header of the message.
func (s *Server) requestSize(r *http.Request) (int, error) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		header := make([]byte, envelopeHeader)
		n, err := io.ReadFull(r.Body, header)
		r.Body = body{io.MultiReader(bytes.NewReader(header[:n]), r.Body), r.Body}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return n, nil // the handler says what is wrong
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

// body is that of a request, of which a part was read.
type body struct {
	io.Reader
	io.Closer
}
