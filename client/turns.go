package eventstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
)

// turnKey names what commands take turns at: an aggregate, or what a query selects.
type turnKey struct{ channel, aggregateType, aggregateID, query string }

func (k turnKey) compare(other turnKey) int {
	return cmp.Or(strings.Compare(k.channel, other.channel), strings.Compare(k.aggregateType, other.aggregateType),
		strings.Compare(k.aggregateID, other.aggregateID), strings.Compare(k.query, other.query))
}

// turns are first-in, first-out queues, one for each key that is in use. Commands of one process that would conflict wait
// here: each then needs one attempt, and none starves.
type turns struct {
	mu sync.Mutex // guards the map below
	// waiting has an entry for each key that is taken: who waits for it, in order. A channel is closed to give its owner the turn.
	waiting map[turnKey][]chan struct{}
}

func newTurns() *turns { return &turns{waiting: make(map[turnKey][]chan struct{})} }

// take returns once the caller has its turn at all keys, or with the cause if ctx ends first. The caller must call done.
// Everybody takes keys in the same order, so that nobody waits in a circle.
func (t *turns) take(ctx context.Context, keys ...turnKey) (done func(), err error) {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, turnKey.compare)
	for i, key := range keys {
		if err := t.takeOne(ctx, key); err != nil {
			t.pass(keys[:i])
			return nil, err
		}
	}
	return func() { t.pass(keys) }, nil
}

func (t *turns) takeOne(ctx context.Context, key turnKey) error {
	t.mu.Lock()
	queue, taken := t.waiting[key]
	if !taken {
		t.waiting[key] = nil
		t.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	t.waiting[key] = append(queue, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.waiting[key], turn)
	if i >= 0 {
		t.waiting[key] = slices.Delete(t.waiting[key], i, i+1)
	}
	t.mu.Unlock()
	if i < 0 { // the turn came at the same time
		t.pass([]turnKey{key})
	}
	return context.Cause(ctx)
}

// pass gives the turn at each key to the next in its queue.
func (t *turns) pass(keys []turnKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		queue := t.waiting[key]
		if len(queue) == 0 {
			delete(t.waiting, key)
			continue
		}
		close(queue[0])
		t.waiting[key] = queue[1:]
	}
}
