package api

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/nats-eventstore/nats-eventstore/proto/compat/eventstore"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/pb"
	"github.com/nats-eventstore/nats-eventstore/proto/compat/umadb"
	eventstorev1 "github.com/nats-eventstore/nats-eventstore/proto/eventstore/v1"
	"github.com/nats-eventstore/nats-eventstore/server/httpport"
)

const (
	// envelopeHeader is the length of the gRPC message prefix: a byte of flags, whose lowest bit means compressed, and
	// the message length.
	envelopeHeader = 5
	compressed     = 1
	// decodedFactor and elementBytes estimate the memory of a request while it is decoded and encoded again: its bytes,
	// several times, and what each message and map entry in it takes beside them. An element is encoded in two bytes.
	decodedFactor = 3
	elementBytes  = 256
	// eventBytes is what an event that waits for its commit takes beside its payload and columns.
	eventBytes = 512
	// streamRequest bounds the request of a streaming method. Such a call may last for days, so it holds no admission
	// memory.
	streamRequest = 64 << 10
)

// unary lists the methods with a single request and answer, and streams all others of the port's services.
var unary, streams = methods()

func methods() (unary, streams map[string]bool) {
	unary, streams = make(map[string]bool), map[string]bool{
		"/" + grpcreflect.ReflectV1ServiceName + "/ServerReflectionInfo":      true,
		"/" + grpcreflect.ReflectV1AlphaServiceName + "/ServerReflectionInfo": true,
	}
	for _, file := range []protoreflect.FileDescriptor{
		eventstorev1.File_eventstore_v1_service_proto, eventstorev1.File_eventstore_v1_admin_proto, eventstore.File_compat_eventstore_eventstore_proto, pb.File_compat_pb_eventstore_proto,
		umadb.File_compat_umadb_umadb_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				procedure := fmt.Sprintf("/%s/%s", service.FullName(), m.Name())
				if m.IsStreamingServer() || m.IsStreamingClient() {
					streams[procedure] = true
				} else {
					unary[procedure] = true
				}
			}
		}
	}
	return unary, streams
}

// isStream reports whether a request may be answered for as long as the client likes.
func isStream(r *http.Request) bool {
	return streams[r.URL.Path] || strings.HasPrefix(r.URL.Path, ConsoleStreams)
}

// requireType says in words what is wrong with a Content-Type: whoever calls with curl sees no status.
func requireType(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		plain := kind == "application/json" || kind == "application/proto"
		ofCalls := plain || strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+")
		called := r.Method == http.MethodPost && (unary[r.URL.Path] || isStream(r))
		switch {
		case called && !ofCalls:
			w.Header().Set("Accept-Post", "application/json, application/proto")
			refuse(w, r, invalid("Content-Type is %q: send -H 'Content-Type: application/json' with a body in JSON", kind), http.StatusUnsupportedMediaType)
		case called && plain && isStream(r):
			w.Header().Set("Accept-Post", "application/grpc, application/grpc-web, application/connect+json, application/connect+proto")
			refuse(w, r, invalid("this method streams its answer: call it with a client of gRPC or Connect"), http.StatusUnsupportedMediaType)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// requireMemory reserves memory for a request before it is read. The other doors share the same budget.
func (s *Server) requireMemory(maxMessage int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !unary[r.URL.Path] || r.Method != http.MethodPost {
			next.ServeHTTP(w, r)
			return
		}
		held, err := s.admit(r, s.log(), maxMessage)
		if err != nil {
			refuse(w, r, status(err), http.StatusServiceUnavailable)
			return
		}
		answered := &answering{ResponseWriter: w, release: sync.OnceFunc(held.release)}
		defer answered.release()
		next.ServeHTTP(answered, r.WithContext(context.WithValue(r.Context(), holdKey{}, held)))
	})
}

// answering gives the memory of a request back when its answer begins: a client that takes its answer slowly keeps nobody
// else's request waiting.
type answering struct {
	http.ResponseWriter
	release func()
}

// WriteHeader implements http.ResponseWriter.
func (a *answering) WriteHeader(status int) {
	a.release()
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answering) Write(p []byte) (int, error) {
	a.release()
	return a.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (a *answering) Flush() { _ = http.NewResponseController(a.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (a *answering) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// hold is the memory of a request: while it arrives, the most that it may need, and then what it needs. It is given back
// when the answer begins and nobody else needs the request.
type hold struct {
	admission Admission
	bytes     int
	arrived   func()
	users     atomic.Int32
}

type holdKey struct{}

func (h *hold) release() {
	if h.users.Add(-1) == 0 {
		h.arrived()
		h.admission.Release(h.bytes)
	}
}

// settle reduces the memory of the request of ctx to what it still needs. The handler calls it before Retain.
func settle(ctx context.Context, bytes int) {
	h, ok := ctx.Value(holdKey{}).(*hold)
	if !ok {
		return
	}
	h.arrived()
	if bytes < h.bytes {
		h.admission.Release(h.bytes - bytes)
		h.bytes = bytes
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

// admit waits until there is memory for a request: first of its peer's share of what arrives, so that a client that sends
// slowly keeps only its own requests waiting, then of the memory for all.
func (s *Server) admit(r *http.Request, log Log, maxMessage int) (*hold, error) {
	if log == nil {
		return nil, ErrStandby
	}
	size, err := requestSize(r, maxMessage)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	size = min(size, maxMessage)
	bytes := decodedFactor*size + elementBytes*min(size/2, maxElements)
	ctx, cancel := context.WithTimeout(r.Context(), admissionTimeout)
	defer cancel()
	arrived, err := s.arriving.acquire(ctx, httpport.PeerOf(r.RemoteAddr), bytes)
	if err != nil {
		return nil, err
	}
	h := &hold{admission: log.Admission(), bytes: bytes, arrived: sync.OnceFunc(arrived)}
	h.users.Store(1)
	if err := h.admission.Acquire(ctx, h.bytes); err != nil {
		arrived()
		return nil, err
	}
	return h, nil
}

// admissionTimeout is how long a request waits for memory.
const admissionTimeout = 5 * time.Second

// requestSize returns the size of a request's message in bytes, or the largest possible size if the header does not
// tell. It reads only the message header.
func requestSize(r *http.Request, maxMessage int) (int, error) {
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
			return maxMessage, nil
		}
		return int(binary.BigEndian.Uint32(header[1:])), nil
	}
	if r.ContentLength < 0 || r.Header.Get("Content-Encoding") != "" {
		return maxMessage, nil
	}
	return int(min(r.ContentLength, int64(maxMessage))), nil
}

// body is a request body whose first bytes were read and put back.
type body struct {
	io.Reader
	io.Closer
}
