package eventlog

import (
	"sync"

	"github.com/nats-eventstore/nats-eventstore/stores"
)

// window tells which messages of a channel its limits have removed. Readers lose them at once, the database loses them
// later. The zero value removes nothing.
type window struct {
	mu    sync.Mutex // guards the fields below
	first uint64     // first remaining sequence
	// msgs and bytes count the stored messages before first.
	msgs, bytes uint64
}

// view returns what remains of the stored messages, given the limits.
func (w *window) view(info stores.ChannelInfo, limits ChannelLimits) stores.ChannelInfo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.remaining(info).capped(limits.MaxMsgs)
}

// viewed describes what remains of a channel.
type viewed stores.ChannelInfo

// remaining is view without the effect of the limits. The caller holds w.mu.
func (w *window) remaining(info stores.ChannelInfo) viewed {
	v := viewed(info)
	switch {
	case w.first <= v.First || v.First == 0:
	case w.first > v.Last:
		v.First, v.Msgs, v.Bytes = 0, 0, 0
	case v.contiguous(): // w.msgs may still count rows that were removed just now
		v.First = w.first
		v.Msgs = v.Last - w.first + 1
		v.Bytes -= min(w.bytes, v.Bytes)
	default:
		v.First = w.first
		v.Msgs -= min(w.msgs, max(v.Msgs, 1)-1)
		v.Bytes -= min(w.bytes, v.Bytes)
	}
	return v
}

// contiguous reports whether no sequence is missing.
func (v viewed) contiguous() bool { return v.First > 0 && v.Msgs == v.Last-v.First+1 }

// capped removes the oldest messages beyond a number. It does nothing if sequences are missing, since it cannot count
// them.
func (v viewed) capped(msgs int) stores.ChannelInfo {
	if m := uint64(max(0, msgs)); m > 0 && v.Msgs > m && v.contiguous() {
		v.First = v.Last - m + 1
		v.Bytes = share(v.Bytes, m, v.Msgs)
		v.Msgs = m
	}
	return stores.ChannelInfo(v)
}

// share returns part/whole of bytes.
func share(bytes, part, whole uint64) uint64 {
	return uint64(float64(bytes) * float64(part) / float64(whole))
}

// over reports whether a limit is exceeded. The newest message alone never exceeds one.
func (v viewed) over(l ChannelLimits) bool {
	return v.Msgs > 1 && (l.MaxMsgs > 0 && v.Msgs > uint64(l.MaxMsgs) || l.MaxBytes > 0 && v.Bytes > uint64(l.MaxBytes))
}

// sizer returns a message's size in bytes and the next message's sequence. ok is false unless it knows both.
type sizer func(seq uint64) (bytes int, next uint64, ok bool)

// enforce removes messages until the limits are met, as far as it can tell which. It returns the first remaining
// sequence and whether the limits are met.
func (w *window) enforce(info stores.ChannelInfo, l ChannelLimits, sizeOf sizer) (first uint64, kept bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.remaining(info)
	for v.over(l) {
		bytes, next, ok := sizeOf(v.First)
		if !ok {
			break
		}
		w.remove(&v, next, 1, uint64(bytes))
	}
	if c := v.capped(l.MaxMsgs); c.First > v.First {
		w.remove(&v, c.First, v.Msgs-c.Msgs, v.Bytes-c.Bytes)
	}
	return v.First, !v.over(l)
}

// remove makes first the first remaining sequence. The caller holds w.mu.
func (w *window) remove(v *viewed, first, msgs, bytes uint64) {
	if w.first < v.First {
		w.msgs, w.bytes = 0, 0 // the database has removed them, too
	}
	w.first = first
	w.msgs += msgs
	w.bytes += bytes
	v.First = first
	v.Msgs -= min(msgs, v.Msgs)
	v.Bytes -= min(bytes, v.Bytes)
}

// skip records that there are no messages before a sequence.
func (w *window) skip(info stores.ChannelInfo, first uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.remaining(info); first > v.First {
		w.remove(&v, first, 0, 0)
	}
}

// expire removes all messages before a sequence. Their number is exact only if no sequence is missing.
func (w *window) expire(info stores.ChannelInfo, first uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.remaining(info)
	if v.First == 0 || first <= v.First {
		return
	}
	gone := min(first-v.First, v.Msgs)
	w.remove(&v, first, gone, share(v.Bytes, gone, v.Msgs))
}

// pruned records messages removed from the database up to a sequence.
func (w *window) pruned(upTo, msgs, bytes uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.msgs -= min(msgs, w.msgs)
	w.bytes -= min(bytes, w.bytes)
	if upTo+1 >= w.first {
		w.msgs, w.bytes = 0, 0
	}
}

// firstRemaining returns the lowest sequence that may remain.
func (w *window) firstRemaining() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.first
}
