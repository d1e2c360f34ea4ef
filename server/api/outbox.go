package api

import (
	"container/list"
	"net/http"
	"sync"
	"time"
)

const (
	// outboxBytes bounds what waits for clients that do not take it, as messages and as they are encoded.
	outboxBytes = 64 << 20
	// stallTime is how long a client may take nothing of a response while the outbox is full.
	stallTime = 10 * time.Second
)

// outbox holds the writes that wait for clients. A client may take its time, for days if it subscribes; but where what
// waits exceeds the bound, the call that has waited longest is broken off, to be resumed by its client.
type outbox struct {
	bound int
	stall time.Duration

	mu      sync.Mutex // guards the fields below
	held    int
	waiting list.List   // of *pending, the longest wait first
	again   *time.Timer // calls relieve; nil while nothing exceeds the bound
}

// pending is a write that has not returned.
type pending struct {
	bytes int
	since time.Time
	stop  func() // makes the write return
}

// watch watches the writes of a handler's responses.
func (o *outbox) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(watched{w, o}, r)
	})
}

func (o *outbox) begin(bytes int, stop func()) *list.Element {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.waiting.PushBack(&pending{bytes, time.Now(), stop})
	o.held += bytes
	o.relieve()
	return e
}

func (o *outbox) end(e *list.Element) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.remove(e)
}

// remove takes a write out, unless it was stopped. The caller holds o.mu.
func (o *outbox) remove(e *list.Element) {
	if p := e.Value.(*pending); p.bytes > 0 {
		o.held -= p.bytes
		p.bytes = 0
		o.waiting.Remove(e)
	}
}

// relieve stops the longest waits until the rest is within the bound. The caller holds o.mu.
func (o *outbox) relieve() {
	for o.held > o.bound && o.waiting.Len() > 1 {
		e := o.waiting.Front()
		p := e.Value.(*pending)
		if left := o.stall - time.Since(p.since); left > 0 {
			if o.again == nil {
				o.again = time.AfterFunc(left, func() {
					o.mu.Lock()
					defer o.mu.Unlock()
					o.again = nil
					o.relieve()
				})
			}
			return
		}
		o.remove(e)
		go p.stop()
	}
}

// watched is a response in the outbox.
type watched struct {
	http.ResponseWriter
	outbox *outbox
}

// Write implements http.ResponseWriter.
func (w watched) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return w.ResponseWriter.Write(p)
	}
	e := w.outbox.begin(2*len(p), func() { _ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now()) })
	defer w.outbox.end(e)
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w watched) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (w watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
