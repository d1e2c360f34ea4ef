package eventlog

import (
	"testing"
	"time"
)

// Batches shrink until a slow database commits them quickly, and grow when it is fast again.
func TestBatchesAreShort(t *testing.T) {
	t.Parallel()
	w := &writer{maxMsgs: 4096, fit: 4096, timeout: 5 * time.Second}
	slow := func(messages int) time.Duration { return time.Duration(messages) * 100 * time.Microsecond }
	for range 20 {
		w.adapt(w.fit, slow(w.fit))
	}
	if took := slow(w.fit); took > longBatch || took < longBatch/4 {
		t.Errorf("batches of %d messages take %v", w.fit, took)
	}
	small := w.fit
	w.adapt(3, time.Millisecond) // says nothing about large batches
	if w.fit != small {
		t.Errorf("after a small batch, the bound is %d, want %d", w.fit, small)
	}
	for range 20 {
		w.adapt(w.fit, time.Millisecond)
	}
	if w.fit != w.maxMsgs {
		t.Errorf("the bound is %d, want the largest", w.fit)
	}
	for range 20 {
		w.adapt(w.fit, time.Minute) // an outage says nothing about rows
	}
	if w.fit != leastFit {
		t.Errorf("the bound is %d, want the smallest", w.fit)
	}
	w.maxMsgs, w.fit = 10, 10
	if w.adapt(10, time.Minute); w.fit != 10 {
		t.Errorf("the bound is %d, want 10, as the option says", w.fit)
	}
}
