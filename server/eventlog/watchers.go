package eventlog

import "sync"

// watchers are told of commits. The zero value has none.
type watchers struct {
	mu  sync.RWMutex // guards all
	all map[*watcher]struct{}
}

type watcher struct{ wake func() }

// watch calls wake, which must not block, nor call watch or stop.
func (w *watchers) watch(wake func()) (stop func()) {
	it := &watcher{wake}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[*watcher]struct{})
	}
	w.all[it] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.all, it)
	}
}

func (w *watchers) any() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.all) > 0
}

func (w *watchers) wake() {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for it := range w.all {
		it.wake()
	}
}
