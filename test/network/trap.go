package network

import (
	"sync"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// Part says how much of a client's data reaches the server before the connection ends.
type Part int

// The parts.
const (
	Nothing Part = iota
	Half
	All
)

// CutAt ends the next connection on which a client sends data for which when returns true. The server receives the given
// part of that data, the client no answer. The returned channel is closed when that has happened. Toxiproxy's own toxics
// do not look at the data.
func (p *Proxy) CutAt(when Condition, arrives Part) <-chan struct{} {
	return p.requests.set(when, arrives, false)
}

// LoseAt is like CutAt, but afterwards every connection ends with the client's next data, until Cut.
func (p *Proxy) LoseAt(when Condition, arrives Part) <-chan struct{} {
	return p.requests.set(when, arrives, true)
}

// Condition examines the data that connections send, one chunk at a time.
type Condition func(c *Connection, sent []byte) bool

// trap waits for data that matches its condition.
type trap struct {
	mu      sync.Mutex // guards the fields below
	when    Condition  // nil if the trap is not set
	arrives Part
	lose    bool // whether a match loses the network
	lost    bool
	sprung  chan struct{}
	// opening is the connection whose other direction starts next. Toxiproxy starts both directions in turn, on one
	// goroutine for all connections.
	opening *Connection
}

// Connection is one connection through the proxy.
type Connection struct {
	cut chan struct{} // closed when the connection ends
}

func (t *trap) set(when Condition, arrives Part, lose bool) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.when, t.arrives, t.lose, t.sprung = when, arrives, lose, make(chan struct{})
	return t.sprung
}

// restore ends a loss.
func (t *trap) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = false
}

// springs reports whether the data ends the connection. It also returns the part that arrives and a channel to close, if
// any.
func (t *trap) springs(c *Connection, sent []byte) (bool, []byte, chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost {
		return true, nil, nil
	}
	if t.when == nil || !t.when(c, sent) {
		return false, nil, nil
	}
	t.when, t.lost = nil, t.lose
	switch t.arrives {
	case Half:
		sent = sent[:len(sent)/2]
	case Nothing:
		sent = nil
	}
	return true, sent, t.sprung
}

// requests is the client's direction of a connection, which contains the trap.
type requests struct {
	trap *trap
}

// NewState is called once per connection.
func (r *requests) NewState() any {
	r.trap.mu.Lock()
	defer r.trap.mu.Unlock()
	r.trap.opening = &Connection{cut: make(chan struct{})}
	return r.trap.opening
}

func (r *requests) Pipe(stub *toxics.ToxicStub) {
	c := stub.State.(*Connection)
	for {
		select {
		case <-stub.Interrupt:
			return
		case chunk := <-stub.Input:
			if chunk == nil {
				stub.Close()
				return
			}
			ends, arrives, sprung := r.trap.springs(c, chunk.Data)
			if !ends {
				stub.Output <- chunk
				continue
			}
			close(c.cut) // before the server can answer
			if len(arrives) > 0 {
				stub.Output <- &stream.StreamChunk{Data: arrives, Timestamp: chunk.Timestamp}
			}
			stub.Close()
			if sprung != nil {
				close(sprung)
			}
			return
		}
	}
}

// answers is the server's direction. It ends with its connection.
type answers struct {
	trap *trap
}

// NewState returns the connection whose client's direction has just started.
func (a *answers) NewState() any {
	a.trap.mu.Lock()
	defer a.trap.mu.Unlock()
	return a.trap.opening
}

func (a *answers) Pipe(stub *toxics.ToxicStub) {
	c := stub.State.(*Connection)
	for {
		select {
		case <-stub.Interrupt:
			return
		case <-c.cut:
			stub.Close()
			return
		case chunk := <-stub.Input:
			if chunk == nil {
				stub.Close()
				return
			}
			select {
			case <-c.cut:
				stub.Close()
				return
			case stub.Output <- chunk:
			}
		}
	}
}

func init() {
	toxics.Register("requests", new(requests))
	toxics.Register("answers", new(answers))
}
