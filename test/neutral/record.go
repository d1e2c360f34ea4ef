package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A record is what operations of one kind did in one measure.
type record struct {
	took      *hdrhistogram.Histogram // microseconds, of operations that succeeded
	n         int64                   // that succeeded
	events    int64                   // that they wrote or read
	conflicts int64                   // with which they began anew
	failed    int64
	failure   error // the first
	elapsed   time.Duration
}

const longest = 10 * time.Minute

func newRecord() *record {
	return &record{took: hdrhistogram.New(1, longest.Microseconds(), 3)}
}

// An outcome is what one operation did.
type outcome struct {
	events, conflicts int
	err               error
}

func (r *record) add(o outcome, took time.Duration) {
	r.conflicts += int64(o.conflicts)
	if o.err != nil {
		r.fail(1, o.err)
		return
	}
	r.n++
	r.events += int64(o.events)
	_ = r.took.RecordValue(min(max(took, time.Microsecond), longest).Microseconds()) // it is within the bounds
}

func (r *record) fail(n int64, err error) {
	if n > 0 && r.failure == nil {
		r.failure = err
	}
	r.failed += n
}

// merge adds what another worker did at the same time.
func (r *record) merge(o *record) {
	r.took.Merge(o.took)
	r.n += o.n
	r.events += o.events
	r.conflicts += o.conflicts
	r.fail(o.failed, o.failure)
	r.elapsed = max(r.elapsed, o.elapsed)
}

// rate is of operations, per second.
func (r *record) rate() float64 { return float64(r.n) / r.elapsed.Seconds() }

// milliseconds is a percentile of the latencies.
func (r *record) milliseconds(percentile float64) float64 {
	return float64(r.took.ValueAtPercentile(percentile)) / 1e3
}

func (r *record) String() string {
	text := fmt.Sprintf("%.0f/s, p50 %.2f ms, p99 %.2f ms", r.rate(), r.milliseconds(50), r.milliseconds(99))
	if r.conflicts > 0 {
		text += fmt.Sprintf(", %d conflicts", r.conflicts)
	}
	if r.failed > 0 {
		text += fmt.Sprintf(", %d FAILED: %v", r.failed, r.failure)
	}
	return text
}
