package tracing

import (
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// recentPublishes is how many publishes deliveries can follow.
const recentPublishes = 16 << 10

// recent remembers the spans of the last messages, by channel and sequence.
type recent struct {
	mu    sync.Mutex // guards the fields below
	spans map[position]trace.SpanContext
	order []position // a ring: the oldest one is at next
	next  int
}

type position struct {
	channel  string
	sequence uint64
}

func newRecent(n int) *recent {
	return &recent{spans: make(map[position]trace.SpanContext), order: make([]position, n)}
}

func (r *recent) add(p position, span trace.SpanContext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.spans, r.order[r.next])
	r.order[r.next] = p
	r.next = (r.next + 1) % len(r.order)
	r.spans[p] = span
}

// of returns the span of the message at a position, or an invalid one.
func (r *recent) of(p position) trace.SpanContext {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spans[p]
}
