package eventlog

import (
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

func messages(from, to uint64, size int) []stores.Message {
	var msgs []stores.Message
	for seq := from; seq <= to; seq++ {
		msgs = append(msgs, stores.Message{Sequence: seq, Data: make([]byte, size)})
	}
	return msgs
}

func TestTail(t *testing.T) {
	t.Parallel()
	for _, it := range []struct {
		name        string
		add         [][]stores.Message
		from, to    uint64
		max         int
		first, last uint64 // 0: nothing
	}{
		{"empty", nil, 1, 9, 9, 0, 0},
		{"all", [][]stores.Message{messages(1, 3, 1), messages(4, 5, 1)}, 1, 5, 9, 1, 5},
		{"middle", [][]stores.Message{messages(7, 20, 1)}, 9, 11, 9, 9, 11},
		{"bounded", [][]stores.Message{messages(7, 20, 1)}, 9, 20, 2, 9, 10},
		{"too old", [][]stores.Message{messages(7, 20, 1)}, 6, 20, 9, 0, 0},
		{"not yet", [][]stores.Message{messages(7, 20, 1)}, 21, 30, 9, 0, 0},
		{"forgets by count", [][]stores.Message{messages(1, tailMsgs+10, 1)}, 11, tailMsgs + 10, 2, 11, 12},
		{"forgot by count", [][]stores.Message{messages(1, tailMsgs+10, 1)}, 10, tailMsgs + 10, 2, 0, 0},
		{"forgets by bytes", [][]stores.Message{messages(1, 6, tailBytes/4-tailOverhead)}, 3, 6, 9, 3, 6},
		{"forgot by bytes", [][]stores.Message{messages(1, 6, tailBytes/4-tailOverhead)}, 2, 6, 9, 0, 0},
		{"a message larger than the bound", [][]stores.Message{messages(1, 1, tailBytes+1)}, 1, 1, 9, 0, 0},
		{"starts anew after a gap", [][]stores.Message{messages(1, 3, 1), messages(5, 6, 1)}, 3, 6, 9, 0, 0},
		{"starts anew after a gap within a batch", [][]stores.Message{append(messages(1, 3, 1), messages(5, 6, 1)...)}, 2, 6, 9, 0, 0},
		{"after a gap within a batch", [][]stores.Message{append(messages(1, 3, 1), messages(5, 6, 1)...)}, 6, 6, 9, 6, 6},
		{"after a gap", [][]stores.Message{messages(1, 3, 1), messages(5, 6, 1)}, 5, 6, 9, 5, 6},
	} {
		t.Run(it.name, func(t *testing.T) {
			var tl tail
			for _, msgs := range it.add {
				tl.add(msgs, tailBytes)
			}
			got := tl.read(it.from, it.to, it.max)
			if it.first == 0 {
				if len(got) > 0 {
					t.Fatalf("got %d messages from %d, want none", len(got), got[0].Sequence)
				}
				return
			}
			if len(got) == 0 || got[0].Sequence != it.first || got[len(got)-1].Sequence != it.last {
				t.Fatalf("got %v, want %d..%d", got, it.first, it.last)
			}
		})
	}
}

// within bounds messages in bytes and clears the others.
func TestWithin(t *testing.T) {
	t.Parallel()
	for bytes, want := range map[int]int{0: 1, 9: 1, 10: 1, 19: 1, 20: 2, 49: 4, 50: 5, 99: 5} {
		all := messages(1, 5, 10)
		got := within(bySequence{}, all, bytes)
		if len(got) != want {
			t.Errorf("%d messages within %d bytes, want %d", len(got), bytes, want)
		}
		for i, m := range all {
			if held := m.Data != nil; held != (i < want) {
				t.Errorf("%d bytes: message %d is held: %v", bytes, i+1, held)
			}
		}
	}
	if got := within(bySequence{}, nil, 1); len(got) != 0 {
		t.Errorf("%d messages of none", len(got))
	}
}

// All tails together keep to their bound: the channels least recently published to lose theirs.
func TestTailsShareABound(t *testing.T) {
	t.Parallel()
	const size = 1000 - tailOverhead
	a := newTails(10_000)
	var first, second, third tail
	remember(a, &first, messages(1, 4, size))
	remember(a, &second, messages(1, 4, size))
	remember(a, &first, messages(5, 6, size))
	if a.used != 10_000 || first.read(1, 6, 9) == nil || second.read(1, 4, 9) == nil {
		t.Fatalf("%d bytes used, want 10000 and nothing dropped", a.used)
	}
	remember(a, &third, messages(1, 1, size))
	if a.used != 7000 || second.read(4, 4, 9) != nil || len(first.read(1, 6, 9)) != 6 || len(third.read(1, 1, 9)) != 1 {
		t.Errorf("%d bytes used, want 7000 without the second tail", a.used)
	}
	remember(a, &third, messages(2, 20, size))
	if got := third.read(11, 20, 99); a.used != 10_000 || len(got) != 10 || third.read(10, 20, 99) != nil || first.read(6, 6, 9) != nil {
		t.Errorf("%d bytes used, %d messages of the only tail, want its last 10", a.used, len(got))
	}
	a.forget(&third, 15)
	remember(a, &second, messages(5, 5, size))
	if a.used != 6000 {
		t.Errorf("%d bytes used after messages were deleted, want 6000", a.used)
	}
	a.remove(&third)
	a.remove(&third)
	if a.used != 1000 || a.order.Len() != 1 {
		t.Errorf("%d bytes used by %d tails after a channel was deleted, want 1000 by 1", a.used, a.order.Len())
	}
}
