package eventstore

import (
	"errors"
	"io"
	"net/http"
)

// transport marks read errors of response bodies as *brokenError: net/http reports a lost connection only in its text.
type transport struct{ http.RoundTripper }

func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = body{response.Body}
	}
	return response, err
}

type body struct{ io.ReadCloser }

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &brokenError{err}
	}
	return n, err
}

// brokenError means that the connection was lost while a response was read.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }
