package server

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// A second batch is to be had only while half of the memory is free, and none when it is used up.
func TestReadingSharesMemory(t *testing.T) {
	t.Parallel()
	r := newReading(10, 4*batchBytes)
	for i, it := range []struct{ second, want bool }{
		{false, true}, {true, true}, {true, false}, {false, true}, {false, true}, {false, false}, {true, false},
	} {
		if got := r.take(it.second); got != it.want {
			t.Fatalf("request %d: got %v, want %v", i, got, it.want)
		}
	}
	r.give()
	if !r.take(false) {
		t.Error("memory that was given back is not to be had")
	}
	if newReading(10, 0).take(false) {
		t.Error("there is memory where there is none")
	}
}

// Reads leave connections to the writer, and one that waits for its turn ends with its context.
func TestReadingTurns(t *testing.T) {
	t.Parallel()
	for connections, want := range map[int]int{1: 1, 3: 1, 4: 2, 10: concurrentReads} {
		if got := cap(newReading(connections, 0).turns); got != want {
			t.Errorf("%d connections: %d reads at a time, want %d", connections, got, want)
		}
	}
	r := newReading(2, 0)
	done, err := r.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the group ended")
	cancel(cause)
	if _, err := r.turn(ended); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
	done()
	if _, err := r.turn(t.Context()); err != nil {
		t.Error(err)
	}
}

// What can not be sent stays if memory is reserved for it, and is forgotten otherwise; a group that ends gives all back.
func TestAheadHoldsWhatItReserved(t *testing.T) {
	t.Parallel()
	r := newReading(10, 4*batchBytes)
	g := &group{ch: &channel{reading: r}}
	var a ahead
	if !r.take(false) || g.arrived(&a, batch{msgs: messages(1, 4, 1), held: true}) != nil {
		t.Fatal("no batch")
	}
	if g.sent(&a, 3); len(a.msgs) != 1 || r.free != 3 {
		t.Errorf("%d messages kept, %d batches free, want 1 and 3", len(a.msgs), r.free)
	}
	if g.sent(&a, 1); len(a.msgs) != 0 || r.free != 4 {
		t.Errorf("%d messages kept, %d batches free, want 0 and 4", len(a.msgs), r.free)
	}
	_ = g.arrived(&a, batch{msgs: messages(5, 8, 1)})
	if g.sent(&a, 3); len(a.msgs) != 0 || r.free != 4 {
		t.Errorf("%d messages kept, %d batches free without a reservation, want 0 and 4", len(a.msgs), r.free)
	}
	r.take(false)
	_ = g.arrived(&a, batch{msgs: messages(9, 9, 1), held: true})
	r.take(true)
	a.next = make(chan batch, 1)
	a.next <- batch{msgs: []stores.Message{{Sequence: 10}}, held: true}
	if g.drop(&a); len(a.msgs) != 0 || a.next != nil || r.free != 4 {
		t.Errorf("%d messages kept, %d batches free after the end, want 0 and 4", len(a.msgs), r.free)
	}
	r.take(false)
	if err := g.arrived(&a, batch{held: true, err: errInvalidSub}); err == nil || r.free != 4 {
		t.Errorf("error %v, %d batches free after a failed read, want 4", err, r.free)
	}
}
