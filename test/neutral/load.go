package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// An operation is done again and again by a worker. The time is when it should have begun.
type operation func(ctx context.Context, intended time.Time) outcome

// pause keeps a worker whose store fails from failing in a tight loop.
const pause = 10 * time.Millisecond

// closed lets each worker do one operation after the other, as fast as the store lets it. What begins during the warm-up, which
// each worker needs at least once, is not recorded.
func closed(ctx context.Context, workers []operation, warm, duration time.Duration) *record {
	return together(workers, func(do operation) *record {
		r := newRecord()
		for start := time.Now(); time.Since(start) < warm || r.n+r.failed == 0; {
			o := do(ctx, time.Now())
			r.add(o, 0)
			if o.err != nil {
				time.Sleep(pause)
			}
		}
		r = newRecord()
		start := time.Now()
		for r.n+r.failed == 0 || time.Since(start) < duration && ctx.Err() == nil {
			begin := time.Now()
			o := do(ctx, begin)
			r.add(o, time.Since(begin))
			if o.err != nil {
				time.Sleep(pause)
			}
		}
		r.elapsed = time.Since(start)
		return r
	})
}

// patience is how long operations of an open loop may be late before they count as failed.
const patience = 10 * time.Second

// open lets operations arrive at a rate, whatever the store does meanwhile. The latency of each begins when it should have
// begun: one that waits for a free worker, because the store is slow, has waited.
func open(ctx context.Context, workers []operation, rate float64, duration time.Duration) *record {
	arrivals := max(int64(rate*duration.Seconds()), int64(len(workers)))
	interval := time.Duration(float64(time.Second) / rate)
	var next atomic.Int64
	var ready sync.WaitGroup
	ready.Add(len(workers))
	begin := sync.OnceValue(func() time.Time { return time.Now().Add(interval) })
	all := together(workers, func(do operation) *record {
		r := newRecord()
		warm := do(ctx, time.Now()) // the connection and what it prepares
		r.fail(count(warm.err != nil), warm.err)
		ready.Done()
		ready.Wait()
		start := begin()
		for {
			n := next.Add(1) - 1
			if n >= arrivals {
				break
			}
			intended := start.Add(time.Duration(n) * interval)
			if late := time.Since(intended); late > patience || ctx.Err() != nil {
				r.fail(1, fmt.Errorf("not begun %v after its time", late.Round(time.Millisecond)))
				continue
			}
			time.Sleep(time.Until(intended))
			o := do(ctx, intended)
			r.add(o, time.Since(intended))
		}
		r.elapsed = time.Since(start)
		return r
	})
	return all
}

func count(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// together runs workers at the same time and merges what they did.
func together(workers []operation, work func(operation) *record) *record {
	records := make([]*record, len(workers))
	var wait sync.WaitGroup
	for i, do := range workers {
		wait.Go(func() { records[i] = work(do) })
	}
	wait.Wait()
	all := newRecord()
	for _, r := range records {
		all.merge(r)
	}
	return all
}
