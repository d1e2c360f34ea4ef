package eventstore

import (
	"errors"
	"io"
	"net/http"
)

// answers tells answers that broke off from those that are wrong: HTTP says only in words that a connection is lost.
type answers struct{ http.RoundTripper }

func (a answers) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := a.RoundTripper.RoundTrip(request)
	if err == nil {
		response.Body = answer{response.Body}
	}
	return response, err
}

type answer struct{ io.ReadCloser }

func (a answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &brokenError{err}
	}
	return n, err
}

// brokenError says that an answer broke off.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }
