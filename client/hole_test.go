package eventstore

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// A hole is a gap if and only if the server has an event in it.
func TestHoles(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		stored    []uint64
		delivered []uint64
		to        uint64
		gap       bool
	}{
		{"all", []uint64{1, 2, 3}, []uint64{1, 2, 3}, 3, false},
		{"erased before, between and after", []uint64{2, 5}, []uint64{2, 5}, 7, false},
		{"erased, and more is stored after the checkpoint", []uint64{2, 8}, []uint64{2}, 7, false},
		{"lost first", []uint64{1, 2}, []uint64{2}, 2, true},
		{"lost in between", []uint64{1, 2, 4}, []uint64{1, 4}, 4, true},
		{"lost at the end", []uint64{1, 2}, []uint64{1}, 2, true},
	} {
		seen := holes{channel: "c", first: func(_ context.Context, from uint64) (uint64, error) {
			if i := slices.IndexFunc(test.stored, func(s uint64) bool { return s >= from }); i >= 0 {
				return test.stored[i], nil
			}
			return 0, nil
		}}
		batch := Batch{Checkpoint: test.to}
		for _, sequence := range test.delivered {
			batch.Events = append(batch.Events, &Event{Sequence: sequence})
		}
		if err := seen.followBatch(t.Context(), batch); errors.Is(err, ErrGap) != test.gap {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := batch.checkFollows(0); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	for _, batch := range []Batch{
		{Events: []*Event{{Sequence: 7}}, Checkpoint: 7},
		{Events: []*Event{{Sequence: 9}, {Sequence: 8}}, Checkpoint: 9},
		{Events: []*Event{{Sequence: 9}}, Checkpoint: 8},
	} {
		if err := batch.checkFollows(7); !errors.Is(err, ErrGap) {
			t.Errorf("%v to %d after 7: %v", batch.Events, batch.Checkpoint, err)
		}
	}
}
