package stan

import (
	"sync"
	"testing"
)

// TestRounds has calls come while one runs: they share the next.
func TestRounds(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}), make(chan struct{})
	calls := 0
	r := rounds{call: func() {
		calls++ // by one goroutine
		began <- struct{}{}
		<-goOn
	}}
	var first, others sync.WaitGroup
	first.Go(r.wait)
	<-began
	var come sync.WaitGroup
	for range 100 {
		come.Add(1)
		others.Go(func() {
			come.Done()
			r.wait()
		})
	}
	come.Wait()
	goOn <- struct{}{}
	first.Wait()
	<-began // the second round; whoever comes now waits for a third
	close(goOn)
	go func() {
		for range began {
		}
	}()
	others.Wait()
	if calls < 2 || calls > 101 {
		t.Errorf("%d calls", calls)
	}
}
