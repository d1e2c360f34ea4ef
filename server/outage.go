package server

import (
	"sync"
	"time"
)

// outage is the time from the first error of a database to the next commit. A database may answer and still refuse to store,
// such as with a trigger that does not run, so only a commit ends it.
type outage struct {
	mu    sync.Mutex // guards since
	since time.Time  // zero while the database stores
}

// begin reports whether the outage is new.
func (o *outage) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() {
		return false
	}
	o.since = time.Now()
	return true
}

// end returns how long the outage took; ok is false if there was none.
func (o *outage) end() (took time.Duration, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return 0, false
	}
	took, o.since = time.Since(o.since), time.Time{}
	return took, true
}
