package stan

import "sync"

// rounds let many calls share a slow one. A call that comes while one runs waits for the next, which begins after it came.
type rounds struct {
	call func()

	mu      sync.Mutex // guards what follows
	next    chan struct{}
	running bool
}

// wait returns when a call that began after wait was called has ended.
func (r *rounds) wait() {
	r.mu.Lock()
	if r.next == nil {
		r.next = make(chan struct{})
	}
	mine := r.next
	if !r.running {
		r.running = true
		go r.run()
	}
	r.mu.Unlock()
	<-mine
}

func (r *rounds) run() {
	for {
		r.mu.Lock()
		waiting := r.next
		r.next = nil
		r.running = waiting != nil
		r.mu.Unlock()
		if waiting == nil {
			return
		}
		r.call()
		close(waiting)
	}
}
