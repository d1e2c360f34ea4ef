package network

import (
	"sync"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// Part is how much of what a client sent reaches the server before the connection ends.
type Part int

// The parts.
const (
	Nothing Part = iota
	Half
	All
)

// CutAt ends the next connection on which a client sends something that ends it, as when says of what it sends, piece by
// piece. The server gets so much of the last piece, and the client no answer to it. The channel is closed when that has
// happened. Toxiproxy knows nothing of what it forwards; this toxic of our own does.
func (p *Proxy) CutAt(when Condition, arrives Part) <-chan struct{} {
	return p.requests.set(when, arrives, false)
}

// LoseAt is CutAt of a network that is lost from then on: every connection ends with the next that a client sends, until Cut.
func (p *Proxy) LoseAt(when Condition, arrives Part) <-chan struct{} {
	return p.requests.set(when, arrives, true)
}

// Condition looks at all that connections send from now on. It is called for one piece at a time.
type Condition func(c *Connection, sent []byte) bool

// trap waits for what ends a connection.
type trap struct {
	mu      sync.Mutex // guards what follows
	when    Condition  // nil: the trap is not set
	arrives Part
	lose    bool // the network is lost then
	lost    bool
	sprung  chan struct{}
	// opening is the connection whose other direction is about to begin. Toxiproxy begins both, one after the other, on one
	// goroutine for all connections.
	opening *Connection
}

// Connection is one connection through the proxy.
type Connection struct {
	cut chan struct{} // closed: it ends
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

// springs reports whether a connection ends with what is sent, how much of that arrives, and what to close then, if anything.
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

// requests is the direction of a connection in which a trap is.
type requests struct {
	trap *trap
}

// NewState is called once for each connection.
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

// answers is the other direction, which ends with its connection.
type answers struct {
	trap *trap
}

// NewState returns that of the direction that began just before.
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
