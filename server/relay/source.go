package relay

import (
	"context"
	"sync/atomic"

	"github.com/nats-eventstore/nats-eventstore/proto"
	"github.com/nats-eventstore/nats-eventstore/stores"
)

// Source is an event channel.
type Source interface {
	Name() string
	Last() uint64 // highest committed sequence
	// Cursor returns a cursor at a sequence.
	Cursor(next uint64) Cursor
	Extract(payload []byte) (proto.Event, error)
}

// Cursor reads a channel forward. One goroutine uses and closes it.
type Cursor interface {
	// ReadTo returns the next messages up to a sequence, or none if nothing is left.
	ReadTo(ctx context.Context, to uint64, max int) ([]stores.Message, error)
	Close()
}

// source is a channel whose events are relayed.
type source struct {
	Source
	key    string // the name as written in headers
	routes []*Route
	cursor Cursor // follows done; nil until the position is known. Only Run's goroutine uses it

	done  atomic.Uint64 // events up to this sequence are in the stream
	since atomic.Int64  // timestamp of a message after done, ns since 1970; valid while done lags
}

// rewind closes the cursor and replaces it. After nil, relay opens a new one.
func (s *source) rewind(to Cursor) {
	if s.cursor != nil {
		s.cursor.Close()
	}
	s.cursor = to
}
