package eventlog

import (
	"context"
	"errors"
	"testing"
)

// A second batch is granted only while more than half of the memory is free. No batch is granted without free memory.
func TestReadingSharesMemory(t *testing.T) {
	t.Parallel()
	r := newReading(10, 4*batchBytes)
	for i, it := range []struct{ second, want bool }{
		{false, true}, {true, true}, {true, false}, {false, true}, {false, true}, {false, false}, {true, false},
	} {
		if got := r.reserve(it.second); got != it.want {
			t.Fatalf("request %d: got %v, want %v", i, got, it.want)
		}
	}
	r.release()
	if !r.reserve(false) {
		t.Error("returned memory is not granted")
	}
	if newReading(10, 0).reserve(false) {
		t.Error("memory is granted although there is none")
	}
}

// Reads leave connections to the writer. A read that waits for its turn ends with its context.
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
