package api

import (
	"context"
	"net/http"
	"time"
)

// readingSideKey is that of the side of a request from which a method that streams both ways reads.
type readingSideKey struct{}

// readingEnd ends and extends the time that a request may take to arrive.
type readingEnd struct{ control *http.ResponseController }

// readable lets methods that stream both ways read for as long as they like, and stop.
func readable(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		side := readingEnd{http.NewResponseController(w)}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), readingSideKey{}, side)))
	})
}

func readingSide(ctx context.Context) readingEnd { return ctx.Value(readingSideKey{}).(readingEnd) }

// unlimited lifts the deadline, which is that of a first message.
func (r readingEnd) unlimited() { _ = r.control.SetReadDeadline(time.Time{}) }

// end makes a read return, and all that follow.
func (r readingEnd) end() { _ = r.control.SetReadDeadline(time.Now()) }
