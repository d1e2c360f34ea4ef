package eventlog

import (
	"math/rand/v2"
	"testing"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// history models a channel by the sizes of its messages: what is stored, and what should remain.
type history struct {
	limits  ChannelLimits
	sizes   []uint64 // sizes of all messages ever, from sequence 1
	stored  uint64   // first sequence in the database
	remains uint64   // first sequence that should remain
}

func (h *history) info(first uint64) stores.ChannelInfo {
	info := stores.ChannelInfo{First: first, Last: uint64(len(h.sizes))}
	if first > info.Last {
		info.First = 0
		return info
	}
	for _, bytes := range h.sizes[first-1:] {
		info.Msgs++
		info.Bytes += bytes
	}
	return info
}

func (h *history) sizeOf(seq uint64) (int, uint64, bool) {
	if seq == 0 || seq >= uint64(len(h.sizes)) {
		return 0, 0, false
	}
	return int(h.sizes[seq-1]), seq + 1, true
}

// enforce removes the oldest messages one by one.
func (h *history) enforce() {
	for viewed(h.info(h.remains)).over(h.limits) {
		h.remains++
	}
}

// Whatever is published, expires and is removed from the database in any steps, readers see what the limits leave, at
// once and exactly.
func TestWindowOfHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := &history{stored: 1, remains: 1}
		if r.IntN(3) > 0 {
			h.limits.MaxMsgs = 1 + r.IntN(10)
		}
		if r.IntN(3) > 0 {
			h.limits.MaxBytes = 1 + int64(r.IntN(60))
		}
		var w window
		for step := range 60 {
			switch r.IntN(5) {
			case 0, 1: // a batch is committed
				for range 1 + r.IntN(4) {
					h.sizes = append(h.sizes, 1+r.Uint64N(20))
				}
				h.enforce()
				if first, kept := w.enforce(h.info(h.stored), h.limits, h.sizeOf); !kept || first != h.remains {
					t.Fatalf("seed %d, step %d: remains from %d (%v), want %d", seed, step, first, kept, h.remains)
				}
			case 2, 3: // a removal from the database
				if n := h.remains - h.stored; n > 0 {
					before := h.info(h.stored)
					h.stored += 1 + r.Uint64N(n)
					after := h.info(h.stored)
					w.pruned(h.stored-1, before.Msgs-after.Msgs, before.Bytes-after.Bytes)
				}
			case 4: // all messages expire
				if r.IntN(10) == 0 && len(h.sizes) > 0 {
					h.remains = uint64(len(h.sizes)) + 1
					w.expire(h.info(h.stored), h.remains)
				}
			}
			if got, want := w.view(h.info(h.stored), h.limits), h.info(h.remains); got != want {
				t.Fatalf("seed %d, step %d: %+v, want %+v", seed, step, got, want)
			}
		}
	}
}

// Without known sizes, the number of messages is exact and their bytes are estimated.
func TestWindowWithoutSizes(t *testing.T) {
	t.Parallel()
	unknown := func(uint64) (int, uint64, bool) { return 0, 0, false }
	var w window
	info := stores.ChannelInfo{First: 1, Last: 100, Msgs: 100, Bytes: 1000}
	limits := ChannelLimits{MaxMsgs: 10}
	want := stores.ChannelInfo{First: 91, Last: 100, Msgs: 10, Bytes: 100}
	if got := w.view(info, limits); got != want {
		t.Errorf("%+v before a removal, want %+v", got, want)
	}
	if first, kept := w.enforce(info, limits, unknown); first != 91 || !kept {
		t.Errorf("from %d, %v", first, kept)
	}
	if got := w.view(info, limits); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	// Once the database has removed them, the wrong estimate no longer matters.
	w.pruned(90, 90, 500)
	full := stores.ChannelInfo{First: 91, Last: 101, Msgs: 11, Bytes: 510}
	w.enforce(full, limits, func(seq uint64) (int, uint64, bool) { return 20, seq + 1, seq < 101 })
	if got, want := w.view(full, limits), (stores.ChannelInfo{First: 92, Last: 101, Msgs: 10, Bytes: 490}); got != want {
		t.Errorf("%+v after a removal, want %+v", got, want)
	}
	w.first, w.msgs, w.bytes = 91, 90, 900
	limits.MaxBytes = 50
	if first, kept := w.enforce(info, limits, unknown); first != 91 || kept {
		t.Errorf("byte limit without sizes: from %d, %v", first, kept)
	}
	holes := stores.ChannelInfo{First: 1, Last: 100, Msgs: 50, Bytes: 1000}
	if got := new(window).view(holes, limits); got != holes {
		t.Errorf("%+v of a channel with missing sequences", got)
	}
}

// A row is removed from the database before the window learns of it. The number of messages is right meanwhile.
func TestWindowWhilePruning(t *testing.T) {
	t.Parallel()
	var w window
	limits := ChannelLimits{MaxMsgs: 5}
	w.enforce(stores.ChannelInfo{First: 1, Last: 100, Msgs: 100, Bytes: 1000}, limits, func(uint64) (int, uint64, bool) { return 0, 0, false })
	for _, first := range []uint64{1, 50, 95, 96, 97} {
		info := stores.ChannelInfo{First: first, Last: 100, Msgs: 101 - first, Bytes: 10 * (101 - first)}
		if got, want := w.view(info, limits).Msgs, min(5, info.Msgs); got != want {
			t.Errorf("%d messages remain of those from %d to 100, want %d", got, first, want)
		}
	}
}
