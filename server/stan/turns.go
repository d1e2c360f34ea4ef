package stan

import "sync"

// turns lets calls with the same key run one after the other, in the order in which they asked, and others at the same
// time. The zero value is ready.
type turns struct {
	mu   sync.Mutex // guards last
	last map[string]chan struct{}
}

// take queues for a turn. The caller waits for begin, and calls end when it is done.
func (t *turns) take(key string) (begin <-chan struct{}, end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = make(map[string]chan struct{})
	}
	before := t.last[key]
	if before == nil {
		before = make(chan struct{})
		close(before)
	}
	mine := make(chan struct{})
	t.last[key] = mine
	return before, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.last[key] == mine {
			delete(t.last, key)
		}
		close(mine)
	}
}
