package eventstore

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Headers of the API: docs/reference/api.md.
const (
	stalenessHeader    = "X-Staleness"
	maxStalenessHeader = "X-Max-Staleness"
	minPositionHeader  = "X-Min-Position"
)

// Staleness says how far the standby that answered may be behind.
type Staleness struct {
	Position uint64        // of the last event that the standby knew; it knew all earlier ones, too
	Age      time.Duration // of that knowledge
}

// standbyReads are the reads of a client that standbys may answer. nil means that only the server that leads may.
type standbyReads struct {
	max     time.Duration
	seen    func(Staleness)
	current atomic.Uint32 // index of the server to read from, modulo their number
}

// WithStandbyReads returns a client of the same servers whose reads, subscriptions and replays may be answered by a
// standby that serves reads (-grpc_standby_reads), if its knowledge is at most that old. A subscription moves to another
// server when the standby falls further behind. max 0 means any age.
//
// It reads from the server after the one that leads, as far as the client knows, so that the latter has time to write.
// seen, if not nil, is called with the staleness of each answer and each batch of a standby; see also Batch.Staleness.
//
// Use it for projections, reactors and queries. A Repository needs the last version of an aggregate: give it the client
// that asks the server that leads. Appends always go there.
func (c *Client) WithStandbyReads(max time.Duration, seen func(Staleness)) *Client {
	reading := *c
	reading.standbys = &standbyReads{max: max, seen: seen}
	reading.standbys.current.Store(c.current.Load() + 1)
	return &reading
}

// leading returns a client whose reads only the server that leads answers.
func (c *Client) leading() *Client {
	fresh := *c
	fresh.standbys = nil
	return &fresh
}

// AtLeast returns a client of the same servers whose reads know the event at a position, and all before it: read your own
// write with the position that an append returned, or a Result has. The server waits until it knows the position,
// and the client asks again until its context ends. Only reads from a standby ever wait.
func (c *Client) AtLeast(position uint64) *Client {
	reading := *c
	reading.least = position
	return &reading
}

// ask sets what a request that reads accepts.
func (c *Client) ask(header http.Header) {
	switch {
	case c.standbys == nil:
		header.Set(maxStalenessHeader, "0")
	case c.standbys.max > 0:
		header.Set(maxStalenessHeader, c.standbys.max.String())
	}
	if c.least > 0 {
		header.Set(minPositionHeader, strconv.FormatUint(c.least, 10))
	}
}

// answered tells of an answer, if it is that of a standby.
func (s *standbyReads) answered(header http.Header) {
	var found Staleness
	var ms int64
	if n, _ := fmt.Sscanf(header.Get(stalenessHeader), "position=%d; age=%dms", &found.Position, &ms); n == 2 {
		found.Age = time.Duration(ms) * time.Millisecond
		s.tell(found)
	}
}

func (s *standbyReads) tell(staleness Staleness) {
	if s != nil && s.seen != nil {
		s.seen(staleness)
	}
}
