package stan

import (
	"slices"
	"sync"
	"testing"
)

func TestTurnsKeepTheOrderOfOneKey(t *testing.T) {
	t.Parallel()
	var q turns
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	const n = 100
	begins, ends := make([]<-chan struct{}, n), make([]func(), n)
	for i := range n {
		begins[i], ends[i] = q.take("key")
	}
	other, endOther := q.take("other")
	<-other // waits for nobody
	endOther()
	for i := range n {
		i := n - 1 - i // started in the wrong order
		wg.Go(func() {
			<-begins[i]
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
			ends[i]()
		})
	}
	wg.Wait()
	if !slices.IsSorted(order) || len(order) != n {
		t.Errorf("turns came in the order %v", order)
	}
	if len(q.last) != 0 {
		t.Errorf("%d keys are left behind", len(q.last))
	}
}
