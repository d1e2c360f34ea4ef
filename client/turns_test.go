package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// Who came first has the turn first, whoever gives up meanwhile, and an idle queue leaves nothing behind.
func TestTurnsAreFirstInFirstOut(t *testing.T) {
	t.Parallel()
	turns, key := newTurns(), turnKey{aggregateID: "a"}
	done, err := turns.take(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var order []int
	var wg sync.WaitGroup
	gaveUp := errors.New("gave up")
	for n := range 10 {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		wg.Go(func() {
			done, err := turns.take(ctx, key)
			if n%3 == 0 {
				if !errors.Is(err, gaveUp) {
					t.Errorf("%d: %v", n, err)
				}
				return
			}
			if err != nil {
				t.Errorf("%d: %v", n, err)
				return
			}
			order = append(order, n) // guarded by the turn
			done()
		})
		turns.await(key, n-(n+2)/3+1)
		if n%3 == 0 {
			cancel(gaveUp)
			turns.await(key, n-(n+2)/3)
		}
	}
	done()
	wg.Wait()
	if !slices.Equal(order, []int{1, 2, 4, 5, 7, 8}) || len(turns.waiting) != 0 {
		t.Errorf("turns in the order %v, %d queues are left", order, len(turns.waiting))
	}
}

// await returns once that many wait.
func (t *turns) await(key turnKey, n int) {
	for {
		t.mu.Lock()
		waiting := len(t.waiting[key])
		t.mu.Unlock()
		if waiting == n {
			return
		}
	}
}

// Commands on several aggregates never wait for each other in a circle, and one has its turn at all of them.
func TestTurnsAtSeveralKeys(t *testing.T) {
	t.Parallel()
	turns := newTurns()
	keys := []turnKey{{aggregateID: "a"}, {aggregateID: "b"}, {channel: "c"}, {query: "d"}}
	held := map[turnKey]bool{}
	var mu sync.Mutex
	hold := func(keys []turnKey, want, set bool) {
		mu.Lock()
		defer mu.Unlock()
		for _, key := range keys {
			if held[key] != want {
				t.Error(fmt.Sprint(key, " is taken twice"))
			}
			held[key] = set
		}
	}
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			mine := slices.Concat(keys[n%4:], keys[:n%4])[:2+n%3]
			if n%2 == 0 {
				slices.Reverse(mine)
			}
			for range 50 {
				done, err := turns.take(t.Context(), mine...)
				if err != nil {
					t.Error(err)
					return
				}
				hold(mine, false, true)
				hold(mine, true, false)
				done()
			}
		})
	}
	wg.Wait()
	if len(turns.waiting) != 0 {
		t.Errorf("%d queues are left", len(turns.waiting))
	}
}
