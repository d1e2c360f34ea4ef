package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A store that stalls makes the operations wait that arrive meanwhile: each of them is in the histogram with its wait.
func TestOpenLoopHasWhatWaited(t *testing.T) {
	const stall, rate = 400 * time.Millisecond, 100
	calls := 0
	r := open(t.Context(), []operation{func(context.Context, time.Time) outcome {
		if calls++; calls == 2 { // the first is the warm-up
			time.Sleep(stall)
		}
		return outcome{events: 1}
	}}, rate, 2*stall)
	if r.n != 80 || r.failed != 0 {
		t.Fatalf("%d operations, %d failed; 80 arrived", r.n, r.failed)
	}
	waited := int64(0)
	for _, bar := range r.took.Distribution() {
		if bar.To >= (stall / 2).Microseconds() {
			waited += bar.Count
		}
	}
	if want := int64(rate * stall.Seconds() / 2); waited < want {
		t.Errorf("%d operations took half of the stall or longer, at least %d arrived in its first half", waited, want)
	}
}

// What failed is counted and told, and is not among the latencies.
func TestFailedApart(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	r := closed(t.Context(), []operation{func(context.Context, time.Time) outcome {
		if calls++; calls == 2 {
			return outcome{err: broken, conflicts: 3}
		}
		return outcome{events: 1}
	}}, 0, 50*time.Millisecond)
	if r.failed != 1 || !errors.Is(r.failure, broken) || r.conflicts != 3 {
		t.Errorf("%d failed: %v, %d conflicts", r.failed, r.failure, r.conflicts)
	}
	if r.n == 0 || r.took.TotalCount() != r.n || r.n != int64(calls)-2 {
		t.Errorf("%d operations of %d calls, %d latencies", r.n, calls, r.took.TotalCount())
	}
}

func TestZipf(t *testing.T) {
	const streams, draws = 1000, 200_000
	r := random(1)
	z := newZipf(streams, r)
	drawn := make([]float64, streams)
	for range draws {
		drawn[z.next(r)]++
	}
	harmonic := z.cumulated[streams-1]
	for _, rank := range []int{1, 2, 10, 100} {
		got, want := drawn[z.place[rank-1]], draws/harmonic/float64(rank)
		if got < 0.8*want || got > 1.2*want {
			t.Errorf("rank %d was drawn %.0f times, want about %.0f", rank, got, want)
		}
	}
}

// shortStream is a client that has lost an event.
type shortStream struct{ client }

func (shortStream) read(context.Context, stream, int) ([][]byte, error) {
	return make([][]byte, 9), nil
}

func TestReadsMustHit(t *testing.T) {
	do := readFrom([]stream{{"category", "s-1"}}, evenly(make([]stream, 1)), 10)(0, shortStream{})
	if o := do(t.Context(), time.Now()); o.err == nil || !strings.Contains(o.err.Error(), "s-1 has 9 events") {
		t.Errorf("a read that misses an event: %v", o.err)
	}
}

func TestEvents(t *testing.T) {
	for _, size := range []int{leastEventBytes, 128, 512} {
		e := newEvent(random(1), 42, size)
		if n, err := numberOf(e); len(e) != size || n != 42 || err != nil {
			t.Errorf("%s: %d bytes, number %d, %v", e, len(e), n, err)
		}
	}
	if _, err := numberOf([]byte(`{"text":"x"}`)); err == nil {
		t.Error("an event without a number has one")
	}
}
