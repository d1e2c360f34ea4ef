package httpport

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// exchangeTimeout is how long a client may take to send a request, and how long to take an answer that is not a stream.
const exchangeTimeout = 30 * time.Second

// Deadlines bounds the time for requests to arrive and for answers to leave. Calls for which stream returns true answer
// for as long as they like.
func Deadlines(next http.Handler, stream func(*http.Request) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// Where there is no deadline, such as in a test's recorder, there is no slow client.
			_ = control.SetReadDeadline(time.Now().Add(exchangeTimeout))
			r.Body = &body{r.Body, control}
		}
		if stream == nil || !stream(r) {
			w = &answer{ResponseWriter: w, control: control}
		}
		next.ServeHTTP(w, r)
	})
}

// body is a request body with a deadline.
type body struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read implements io.Reader. The deadline ends with the body: after it, a read by http.Server waits for the client to go.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// answer is a response whose deadline begins with its first byte.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (a *answer) begin() {
	if !a.begun {
		a.begun = true
		_ = a.control.SetWriteDeadline(time.Now().Add(exchangeTimeout))
	}
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.begin()
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.control.Flush() }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
