package eventstoretest

import "sync"

// Gate holds calls until it is opened: see Hold. It makes an order of calls certain, without a wait for time.
type Gate struct {
	arrive, open    sync.Once
	arrived, opened chan struct{}
}

// NewGate returns a gate that is closed.
func NewGate() *Gate { return &Gate{arrived: make(chan struct{}), opened: make(chan struct{})} }

// Reached is closed once a call is held.
func (g *Gate) Reached() <-chan struct{} { return g.arrived }

// Open lets all calls pass, now and later.
func (g *Gate) Open() { g.open.Do(func() { close(g.opened) }) }
