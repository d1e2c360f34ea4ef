package consumers

import "sync"

// cancelled are events whose delayed delivery was cancelled. The zero value has none.
type cancelled struct {
	mu   sync.Mutex // locked last
	seqs map[string]map[uint64]struct{}
}

func (c *cancelled) add(channel string, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seqs == nil {
		c.seqs = make(map[string]map[uint64]struct{})
	}
	if c.seqs[channel] == nil {
		c.seqs[channel] = make(map[uint64]struct{})
	}
	c.seqs[channel][seq] = struct{}{}
}

func (c *cancelled) is(channel string, seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.seqs[channel][seq]
	return ok
}

func (c *cancelled) drop(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seqs, channel)
}
